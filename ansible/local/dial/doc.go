// Package dial is the one way out of a sandbox that has no network. Serve, outside,
// connects to what a Policy lets be reached and hands the connected socket in over
// a Unix socket (SCM_RIGHTS, unix(7)); Pass, inside, is OpenSSH's ProxyCommand with
// ProxyUseFdpass. From then on OpenSSH talks to the node itself: no byte is copied,
// and nobody stands in between.
package dial
