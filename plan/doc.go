// Package plan decides what the nodes of a set are to be: which host each gets and
// which addresses, what Ansible is told of them, the input hash of each service,
// and what adoption and joining ask of them.
//
// It is pure. A World is what there is at one moment; everything else follows
// from it and from a Set, so that `rackplane plan` decides over files what the
// controllers decide over the API. What a user got wrong is an error of kind
// fault.Missing or fault.Rejected that names object, field and remedy. A Set
// holds secrets, which reach Secrets and runs, never a status, an event or a log.
package plan
