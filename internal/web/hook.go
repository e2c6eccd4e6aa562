package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
)

// maxHook bounds the body of a webhook, in bytes. Nothing is kept of it, but reading costs.
const maxHook = 1 << 20

// A scheme reads from the headers of a webhook what shall prove that its sender knows a secret.
type scheme func(http.Header) proof

// proof is what a sender gave: the secret itself, or authentication codes of the body, any of which is enough.
type proof struct {
	token  string
	codes  [][]byte // HMAC-SHA256 of prefix and body
	prefix string
	key    func(secret string) []byte // nil when the key is the secret as it is
}

// schemes are the senders that are known, by the last part of the path.
func schemes() map[string]scheme {
	return map[string]scheme{"github": fromGitHub, "gitlab": fromGitLab, "gitea": fromGitea, "generic": fromAnyone}
}

// fromGitHub reads X-Hub-Signature-256. The older X-Hub-Signature is SHA-1 and does not count.
func fromGitHub(h http.Header) proof {
	return proof{codes: hexCodes("sha256=", h.Get("X-Hub-Signature-256"))}
}

// fromGitLab reads the secret token, and the signature that GitLab makes with a signing token in the form of Standard
// Webhooks: base64 codes of id, time and body, separated by spaces. The time is not compared with the clock: who repeats a
// webhook achieves one more look at the repository.
func fromGitLab(h http.Header) proof {
	p := proof{token: h.Get("X-Gitlab-Token"), prefix: h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + ".", key: signingKey}
	for _, signature := range strings.Fields(h.Get("webhook-signature")) {
		if text, ok := strings.CutPrefix(signature, "v1,"); ok {
			if code, err := base64.StdEncoding.DecodeString(text); err == nil {
				p.codes = append(p.codes, code)
			}
		}
	}
	return p
}

// signingKey returns the key that a signing token stands for: base64 after a prefix.
func signingKey(secret string) []byte {
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// fromGitea reads the signature of Gitea, and that of Forgejo, which sends both.
func fromGitea(h http.Header) proof {
	return proof{codes: append(hexCodes("", h.Get("X-Gitea-Signature")), hexCodes("", h.Get("X-Forgejo-Signature"))...)}
}

// fromAnyone reads what a script can make with a line of openssl, or of nothing but curl.
func fromAnyone(h http.Header) proof {
	p := proof{codes: hexCodes("sha256=", h.Get("X-Gitfleet-Signature"))}
	const bearer = "Bearer "
	if value := h.Get("Authorization"); len(value) > len(bearer) && strings.EqualFold(value[:len(bearer)], bearer) {
		p.token = strings.TrimSpace(value[len(bearer):])
	}
	return p
}

// hexCodes reads one code in hexadecimal digits after prefix.
func hexCodes(prefix, value string) [][]byte {
	text, ok := strings.CutPrefix(value, prefix)
	if code, err := hex.DecodeString(text); ok && err == nil && len(code) > 0 {
		return [][]byte{code}
	}
	return nil
}

// hook receives webhooks. A body is authenticated and never parsed: whatever it says, it means "look now".
type hook struct {
	secrets *secretFile
	look    func() // must not block
}

// receive answers 202 to whoever knows a secret and 401 to everybody else, without a word that would tell why. A body that is
// too large, or that ends in the middle, is told only to who showed the secret itself: no code can be computed of it.
func (h hook) receive(read scheme) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, secrets := read(r.Header), h.secrets.read()
		known := secrets.hold(p.token)
		if !known && len(p.codes) == 0 {
			w.WriteHeader(http.StatusUnauthorized) // no body could change that
			return
		}
		macs := p.begin(secrets)
		_, err := io.Copy(io.MultiWriter(writers(macs)...), http.MaxBytesReader(w, r.Body, maxHook))
		var tooLarge *http.MaxBytesError
		switch {
		case !known && (err != nil || !p.matches(macs)):
			w.WriteHeader(http.StatusUnauthorized)
		case errors.As(err, &tooLarge):
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case err != nil:
			w.WriteHeader(http.StatusBadRequest) // the sender has gone in the middle of it
		default:
			h.look()
			w.WriteHeader(http.StatusAccepted)
		}
	}
}

// begin returns what computes the codes that the secrets would give.
func (p proof) begin(secrets secrets) []hash.Hash {
	macs := make([]hash.Hash, 0, len(secrets))
	for _, secret := range secrets {
		key := []byte(secret)
		if p.key != nil {
			key = p.key(secret)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(p.prefix))
		macs = append(macs, mac)
	}
	return macs
}

// matches tells whether a code is what one of macs came to. How long that takes tells nothing of them.
func (p proof) matches(macs []hash.Hash) bool {
	found := 0
	for _, mac := range macs {
		sum := mac.Sum(nil)
		for _, code := range p.codes {
			found |= subtle.ConstantTimeCompare(sum, code)
		}
	}
	return found == 1
}

func writers(macs []hash.Hash) []io.Writer {
	list := make([]io.Writer, len(macs))
	for i, mac := range macs {
		list[i] = mac
	}
	return list
}
