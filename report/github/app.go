package github

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v88/github"

	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// App is a GitHub App as its settings page and its installation's address show it.
type App struct {
	ID             int64
	InstallationID int64
	// Key returns the App's private key in PEM. It is asked before every request, so that the key can be rotated.
	Key func(ctx context.Context) ([]byte, error)
}

// An installation gets tokens for an App. They are valid for an hour and are kept that long.
// https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
type installation struct {
	app   App
	api   *url.URL
	plain *forgeclient.Client
	botID atomic.Int64 // 0 until it is known; it never changes

	// turn is held by whoever uses what follows. It is a channel so that waiting for it can end with a context.
	turn   chan struct{}
	key    []byte
	tokens *ghinstallation.Transport // nil until there is a key
	self   *http.Client              // makes requests as the App itself
}

func newInstallation(app App, shared forgeclient.Options) (*installation, error) {
	if app.ID <= 0 || app.InstallationID <= 0 || app.Key == nil {
		return nil, errors.New("GitHub: an App needs its ID, its installation's ID and its private key")
	}
	shared.Token = nil
	return &installation{
		app: app, api: shared.API, plain: forgeclient.New(shared), turn: make(chan struct{}, 1),
	}, nil
}

// token returns a token of the installation.
func (i *installation) token(ctx context.Context) (string, error) {
	if err := i.enter(ctx); err != nil {
		return "", err
	}
	defer i.leave()
	if err := i.renewKey(ctx); err != nil {
		return "", err
	}
	token, err := i.tokens.Token(ctx)
	if err != nil {
		return "", &forgeclient.NotIssued{Err: err}
	}
	return token, nil
}

// forget drops what GitHub refused: the permissions or the installation have changed within the token's hour.
func (i *installation) forget(ctx context.Context) {
	if i.enter(ctx) == nil {
		i.key, i.tokens, i.self = nil, nil, nil
		i.leave()
	}
}

// bot returns the user in whose name the App writes.
// https://docs.github.com/rest/apps/apps#get-the-authenticated-app
func (i *installation) bot(ctx context.Context, api *github.Client) (int64, error) {
	if id := i.botID.Load(); id != 0 {
		return id, nil
	}
	slug, err := i.slug(ctx)
	if err != nil {
		return 0, err
	}
	user, _, err := api.Users.Get(ctx, slug+"[bot]")
	if err != nil {
		return 0, err
	}
	i.botID.Store(user.GetID())
	return user.GetID(), nil
}

func (i *installation) slug(ctx context.Context) (string, error) {
	if err := i.enter(ctx); err != nil {
		return "", err
	}
	defer i.leave()
	if err := i.renewKey(ctx); err != nil {
		return "", err
	}
	api, err := newAPI(i.self, i.api)
	if err != nil {
		return "", err
	}
	app, _, err := api.Apps.Get(ctx, "")
	return app.GetSlug(), err
}

// renewKey reads the key and starts anew when it is another one.
func (i *installation) renewKey(ctx context.Context) error {
	key, err := i.app.Key(ctx)
	if err != nil {
		return err
	}
	if i.tokens != nil && bytes.Equal(key, i.key) {
		return nil
	}
	h := i.plain.HTTP()
	signed, err := ghinstallation.NewAppsTransport(h.Transport, i.app.ID, key)
	if err != nil {
		return errors.New("the App's private key is not an RSA key in PEM") // the cause could repeat parts of it
	}
	signed.BaseURL = i.api.String()
	i.tokens = ghinstallation.NewFromAppsTransport(signed, i.app.InstallationID)
	i.self = &http.Client{Transport: signed, CheckRedirect: h.CheckRedirect, Timeout: h.Timeout}
	i.key = bytes.Clone(key)
	return nil
}

func (i *installation) enter(ctx context.Context) error {
	select {
	case i.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *installation) leave() { <-i.turn }
