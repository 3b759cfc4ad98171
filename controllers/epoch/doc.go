// Package epoch notices that the API is not the one the engine last acted on,
// and holds the engine until a person says go.
//
// A counter is kept in a ConfigMap of the engine's namespace and in a file of
// its state directory, and goes up in the API first while the engine acts. An
// API that is behind the file was restored from a backup; one without the
// counter is new; one whose kube-system namespace has another UID is another
// cluster's; and one that does not know deployments which servers hold at the
// engine's start was written before them. Then the engine looks and tells, and acts on nothing, until
// `rackplane resume` takes the pause out of the ConfigMap.
//
// Not noticed: a backup younger than the last count while the engine runs, and
// one restored together with the state directory that differs in no deployment.
// There the deployment ids of each host still guard its server.
package epoch
