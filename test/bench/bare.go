package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// bareClient is the least that can talk to one API server: HTTP/2 and bytes.
type bareClient struct {
	member string
	base   string
	http   *http.Client
}

// newBareClient returns a client for a context of a kubeconfig file.
func newBareClient(kubeconfig, context string) (*bareClient, error) {
	config, err := memberConfig(kubeconfig, context)
	if err != nil {
		return nil, err
	}
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	return &bareClient{member: context, base: config.Host,
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true}}}, nil
}

func memberConfig(kubeconfig, context string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %s of %s: %w", context, kubeconfig, err)
	}
	return config, nil
}

const (
	applyPatch  = "application/apply-patch+yaml"
	mergePatch  = "application/merge-patch+json"
	jsonContent = "application/json"
	metadata    = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

// send makes one request and reads all of the answer. Any answer but 2xx is an error.
func (c *bareClient) send(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", jsonContent)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, answer)
	}
	return answer, err
}

// apply is server-side apply.
func (c *bareClient) apply(ctx context.Context, o appliedObject) error {
	_, err := c.send(ctx, http.MethodPatch, o.path+"?fieldManager=peer&force=true&fieldValidation=Strict", applyPatch, o.body)
	return err
}

// applyAll applies objects on every member, with so many requests in flight on each.
func applyAll(ctx context.Context, clients []*bareClient, objects []appliedObject, concurrency int) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		queue := make(chan appliedObject, len(objects))
		for _, o := range objects {
			queue <- o
		}
		close(queue)
		for range concurrency {
			group.Go(func() error {
				for o := range queue {
					if err := c.apply(ctx, o); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// removeAll removes all objects of kinds in a namespace of every member.
func removeAll(ctx context.Context, clients []*bareClient, namespace string, kinds []kind) error {
	for _, c := range clients {
		for _, k := range kinds {
			if _, err := c.send(ctx, http.MethodDelete, k.path(namespace), jsonContent, []byte(`{}`)); err != nil {
				return err
			}
		}
	}
	return nil
}
