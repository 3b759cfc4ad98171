// Package brief has the API server answer with the metadata of an object where
// nothing else of the answer would be looked at: what a writer has just written
// it has, and the watch brings it once more; whether something is as it was read
// is told by its UID and resourceVersion.
package brief

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// metadataOnly is how an answer is asked for that has an object's metadata alone (Kubernetes API Concepts, "Resource
// representations"; the API server gives it for every verb that answers with an object). Servers without it answer in full.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// mark is the key of contexts whose requests are answered in brief.
type mark struct{}

// Answers marks requests: what is read or patched with the context is answered by its metadata alone, and a client decodes that into
// an object that has nothing else then.
func Answers(ctx context.Context) context.Context { return context.WithValue(ctx, mark{}, true) }

// Transport sends marked requests so that they are answered in brief, for rest.Config.Wrap. Without it they are answered in full.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Value(mark{}) == nil {
		return t.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Accept", metadataOnly)
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return resp, err
	}
	if err := untyped(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// untyped takes off an answer what says that it is metadata alone: it is then decoded into the object that was asked with.
func untyped(resp *http.Response) error {
	whole, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("answer in brief: %w", err)
	}
	var answer struct {
		Kind     string          `json:"kind"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(whole, &answer) == nil && answer.Kind == "PartialObjectMetadata" {
		if whole, err = json.Marshal(map[string]json.RawMessage{"metadata": answer.Metadata}); err != nil {
			return fmt.Errorf("answer in brief: %w", err)
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
	resp.Header.Del("Content-Length")
	return nil
}
