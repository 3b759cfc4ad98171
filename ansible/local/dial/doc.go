// Package dial is the one way out of a sandbox that has no network. Serve, outside,
// connects to what a Policy lets be reached and carries the bytes; one end of a
// pair of Unix sockets is handed in over another (SCM_RIGHTS, unix(7)). Pass,
// inside, is OpenSSH's ProxyCommand with ProxyUseFdpass. The connection itself
// stays outside: its socket would be a way to everything that this machine reaches.
package dial
