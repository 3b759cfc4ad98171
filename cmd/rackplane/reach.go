package main

import "github.com/rackplane/rackplane/wire"

// reach says where clouds may be: never at the API server or Ironic, which trust the engine.
func (f *engineFlags) reach(apiServer string) (*wire.Reach, error) {
	own := []string{apiServer}
	if f.ironic.Endpoint != "" {
		own = append(own, f.ironic.Endpoint)
	}
	return wire.NewReach(f.cloudEndpoints, own)
}
