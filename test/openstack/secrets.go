package openstack

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"

	"golang.org/x/crypto/bcrypt"
)

// secrets are what distinguishes one cloud from the next. The image holds none of them.
type secrets struct {
	Keystone      map[string]string // password by user
	Rabbit        map[string]string // password by user
	MetadataProxy string
	Fernet        []string // token keys in the order of their file names
	ErlangCookie  string
}

func newSecrets() secrets {
	s := secrets{
		Keystone:      map[string]string{},
		Rabbit:        map[string]string{},
		MetadataProxy: rand.Text(),
		ErlangCookie:  rand.Text(),
	}
	for _, user := range []string{"admin", "placement", "glance", "nova", "neutron"} {
		s.Keystone[user] = rand.Text()
	}
	for _, user := range []string{"nova", "neutron"} {
		s.Rabbit[user] = rand.Text()
	}
	for range 2 {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails (crypto/rand)
		s.Fernet = append(s.Fernet, base64.URLEncoding.EncodeToString(key))
	}
	return s
}

// keystoneHash is a password as Keystone stores it. The lowest cost will do: the password is random.
// Keystone 27 accepts Go's "$2a$" (keystone/common/password_hashers/bcrypt.py).
func keystoneHash(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// rabbitHash is a password as RabbitMQ's definitions hold it: a four-byte salt, then the SHA-256 digest of salt
// and password (RabbitMQ 4.0, "Credentials and Passwords").
func rabbitHash(password string) string {
	salt := make([]byte, 4)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	digest := sha256.Sum256(slices.Concat(salt, []byte(password)))
	return base64.StdEncoding.EncodeToString(slices.Concat(salt, digest[:]))
}
