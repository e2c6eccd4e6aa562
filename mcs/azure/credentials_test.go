package azure

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

// authority answers for Entra ID and the metadata service of machines, and hands everything else to a simulator.
type authority struct {
	sim    http.RoundTripper
	asked  []string // hosts and paths that were asked for a token
	hosts  []string // of Resource Managers
	bearer []string
	refuse bool
}

func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, body any) (*http.Response, error) {
		data, _ := json.Marshal(body)
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(data))), Request: r}, nil
	}
	host := r.URL.Host
	switch {
	case strings.HasPrefix(host, "login.") && strings.Contains(r.URL.Path, "discovery/instance"):
		return answer(200, map[string]any{"tenant_discovery_endpoint": "https://" + host + "/t/v2.0/.well-known/openid-configuration"})
	case strings.Contains(r.URL.Path, "openid-configuration"):
		return answer(200, map[string]any{"authorization_endpoint": "https://" + host + "/t/authorize", "token_endpoint": "https://" + host + "/t/token", "issuer": "https://" + host + "/t/v2.0"})
	case strings.HasPrefix(host, "login."), host == "169.254.169.254":
		a.asked = append(a.asked, host)
		if a.refuse {
			return answer(401, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
		}
		return answer(200, map[string]any{"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600, "expires_on": "4102444800", "resource": "https://management.azure.com"})
	}
	a.hosts = append(a.hosts, host)
	a.bearer = append(a.bearer, r.Header.Get("Authorization"))
	return a.sim.RoundTrip(r)
}

// TestSigningIn: each way gets a token where its cloud says, and only then asks that cloud's Resource Manager.
func TestSigningIn(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.federated.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	principal := map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s3cret-of-mine"}
	workload := map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_FEDERATED_TOKEN_FILE": token}
	for name, c := range map[string]struct {
		auth        Auth
		environment map[string]string
		asks, host  string
	}{
		"service principal":    {Auth{Method: methodPrincipal}, principal, "login.microsoftonline.com", "management.azure.com"},
		"workload identity":    {Auth{Method: methodWorkload}, workload, "login.microsoftonline.com", "management.azure.com"},
		"managed identity":     {Auth{Method: methodManaged}, nil, "169.254.169.254", "management.azure.com"},
		"one managed identity": {Auth{Method: methodManaged, ClientID: "c"}, nil, "169.254.169.254", "management.azure.com"},
		"government":           {Auth{Method: methodPrincipal, Cloud: "AzureGovernment"}, principal, "login.microsoftonline.us", "management.usgovcloudapi.net"},
		"China":                {Auth{Method: methodWorkload, Cloud: "AzureChina"}, workload, "login.chinacloudapi.cn", "management.chinacloudapi.cn"},
		"private cloud":        {Auth{Method: methodPrincipal, Endpoint: "https://arm.example.com"}, principal, "login.microsoftonline.com", "arm.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.environment {
				t.Setenv(key, value)
			}
			clock := newClock()
			a := &authority{sim: newSim(clock, armsim.Options{}).Client().Transport}
			p, err := New(Options{Config: testConfig(nil), Auth: c.auth, Client: &http.Client{Transport: a}, Now: clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.List(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(a.asked) == 0 || a.asked[0] != c.asks || len(a.hosts) == 0 || a.hosts[0] != c.host || a.bearer[0] != "Bearer a-token" {
				t.Errorf("tokens are asked for at %q, Resource Managers are %q with %q", a.asked, a.hosts, a.bearer)
			}
		})
	}
}

// TestSecretsStayIn: what is refused is told without what was sent.
func TestSecretsStayIn(t *testing.T) {
	for key, value := range map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s3cret-of-mine"} {
		t.Setenv(key, value)
	}
	clock := newClock()
	a := &authority{sim: newSim(clock, armsim.Options{}).Client().Transport, refuse: true}
	p, err := New(Options{Config: testConfig(nil), Auth: Auth{Method: methodPrincipal}, Client: &http.Client{Transport: a}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), "credentials were refused") || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("refused credentials: %v", err)
	}
	if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "a-token")) {
		t.Errorf("the error holds a secret: %v", err)
	}
}

func TestSigningInIsNamed(t *testing.T) {
	for what, c := range map[string]struct {
		auth Auth
		want string
	}{
		"no method":              {Auth{}, "workload-identity"},
		"no cloud":               {Auth{Method: methodCLI, Cloud: "Mars"}, "AzureGovernment"},
		"none, and the real one": {Auth{Method: methodNone}, "simulator"},
		"none, and far away":     {Auth{Method: methodNone, Endpoint: "http://192.0.2.1"}, "simulator"},
		"HTTP far away":          {Auth{Method: methodCLI, Endpoint: "http://192.0.2.1"}, "use https"},
		"no URL":                 {Auth{Method: methodCLI, Endpoint: "arm.example.com"}, "want a URL"},
		"a password in the URL":  {Auth{Method: methodCLI, Endpoint: "https://a:s3cret@arm.example.com"}, "want a URL"},
		"principal of nobody":    {Auth{Method: methodPrincipal}, "AZURE_CLIENT_SECRET"},
		"no federated token":     {Auth{Method: methodWorkload}, "credentials"},
	} {
		for _, key := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"} {
			t.Setenv(key, "")
		}
		_, err := New(Options{Config: testConfig(nil), Auth: c.auth})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}
