package host

import (
	"crypto/sha256"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// logins tells a login that has changed from a Secret that has: a label on it registers nothing anew and tries no password
// again. What it remembers may be lost; then a Secret counts as changed. The zero value is ready to use.
type logins struct {
	mu    sync.Mutex
	known map[types.UID]login
}

// login is what a Secret said, and the version in which it was first seen to.
type login struct {
	sum     [sha256.Size]byte
	version string
}

// version identifies what the Secret says of user and password.
func (l *logins) version(s *corev1.Secret) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	user := sha256.Sum256(s.Data["username"])
	sum := sha256.Sum256(append(user[:], s.Data["password"]...))
	if known, ok := l.known[s.UID]; ok && known.sum == sum {
		return known.version
	}
	if l.known == nil {
		l.known = map[types.UID]login{}
	}
	l.known[s.UID] = login{sum, s.ResourceVersion}
	return s.ResourceVersion
}
