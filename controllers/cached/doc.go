// Package cached is the world as controllers read it: objects from the
// manager's informers, Secrets and ConfigMaps from their metadata and from
// contents that were read once. What is read may be some writes behind; the
// engine's own writes are waited for where controller-runtime can do that.
// What must not be old is read past this package.
package cached
