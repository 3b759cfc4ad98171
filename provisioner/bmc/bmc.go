// Package bmc holds how a server's management controller is reached: its
// address in Metal3's form and its credentials. Which driver serves an address
// is each provisioner's own matter. It is pure.
package bmc

import "github.com/rackplane/rackplane/secret"

// Access is how to reach a server's management controller.
type Access struct {
	// Address in Metal3's form, such as redfish-virtualmedia+https://[2001:db8::1]:8443/redfish/v1/Systems/1.
	Address string
	// Username and Password to log in with. Both empty only while a host is being deleted.
	Username, Password secret.Value
	// CredentialsName is the Secret they are from, for messages.
	CredentialsName string
	// CredentialsVersion changes whenever Username or Password may have; it reveals nothing about them.
	CredentialsVersion string
	// Insecure accepts any TLS certificate.
	Insecure bool
}
