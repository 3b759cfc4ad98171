// Package network plans addresses and renders a node's network.
//
// It is pure. NewSite reads a NetConfig, once: everything else here, and whoever
// tells of networks takes the Site, and nobody parses a field of a NetConfig
// again. PlanAddresses decides who holds which address: an address that a node
// holds and still wants stays, fixed ones come next, the rest is taken lowest
// free first; no two nodes ever get one address. Render turns a node's
// addresses and its layout into an nmstate document (what the node should
// have, identified by a hash) and an OpenStack network_data.json (what
// cloud-init sets up at the first boot). Every error names the field and the
// remedy.
package network
