package azure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Auth is who gitfleet is to Azure. The way is always named: a chain that tries one after the other may end up as somebody else.
type Auth struct {
	// Method is one of Methods.
	Method string
	// Cloud is one of Clouds; AzurePublic when empty.
	Cloud string
	// Endpoint is the URL of another Resource Manager: a simulator, or that of a private cloud.
	Endpoint string
	// ClientID is the identity's, where there are several; else environment variables say it.
	ClientID string
}

// Methods are the values of Auth.Method.
func Methods() []string {
	return []string{methodWorkload, methodManaged, methodPrincipal, methodCLI, methodNone}
}

const (
	methodWorkload  = "workload-identity"
	methodManaged   = "managed-identity"
	methodPrincipal = "service-principal"
	methodCLI       = "azure-cli"
	methodNone      = "none"
)

// Clouds are the values of Auth.Cloud.
func Clouds() []string { return []string{"AzurePublic", "AzureGovernment", "AzureChina"} }

func (a Auth) cloud() (cloud.Configuration, error) {
	known := map[string]cloud.Configuration{"": cloud.AzurePublic, "AzurePublic": cloud.AzurePublic, "AzureGovernment": cloud.AzureGovernment, "AzureChina": cloud.AzureChina}
	c, ok := known[a.Cloud]
	if !ok {
		return c, fmt.Errorf("cloud %q: want one of %s", a.Cloud, strings.Join(Clouds(), ", "))
	}
	if a.Endpoint == "" {
		return c, nil
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return c, fmt.Errorf("endpoint: want a URL as https://management.example.com")
	}
	services := map[cloud.ServiceName]cloud.ServiceConfiguration{}
	for name, s := range c.Services {
		services[name] = s
	}
	services[cloud.ResourceManager] = cloud.ServiceConfiguration{Endpoint: strings.TrimRight(a.Endpoint, "/"), Audience: services[cloud.ResourceManager].Audience}
	c.Services = services
	return c, nil
}

// plainHTTP tells whether the endpoint is this machine over HTTP, the one place where requests may go unencrypted.
func (a Auth) plainHTTP() (bool, error) {
	u, err := url.Parse(a.Endpoint)
	if err != nil || u.Scheme != "http" {
		return false, err
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return false, errors.New("endpoint: http is for a simulator on this machine: use https")
	}
	return true, nil
}

// credential returns what gets tokens. It asks nobody yet.
func (a Auth) credential(transport policy.Transporter) (azcore.TokenCredential, error) {
	c, err := a.cloud()
	if err != nil {
		return nil, err
	}
	options := azcore.ClientOptions{Cloud: c, Transport: transport}
	var credential azcore.TokenCredential
	switch a.Method {
	case methodWorkload:
		credential, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options, ClientID: a.ClientID})
	case methodManaged:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if a.ClientID != "" {
			o.ID = azidentity.ClientID(a.ClientID)
		}
		credential, err = azidentity.NewManagedIdentityCredential(o)
	case methodPrincipal:
		credential, err = a.principal(options)
	case methodCLI:
		credential, err = azidentity.NewAzureCLICredential(nil)
	case methodNone:
		if plain, e := a.plainHTTP(); e != nil || !plain {
			return nil, errors.New("none is for a simulator only, whose endpoint is http:// on this machine")
		}
		return noCredential{}, nil
	default:
		return nil, fmt.Errorf("%q: want one of %s", a.Method, strings.Join(Methods(), ", "))
	}
	if err != nil {
		return nil, errors.New(line(err.Error()))
	}
	return credential, nil
}

// principal reads a service principal from the environment, as Azure's own tools do: with a secret or a certificate.
func (a Auth) principal(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	if a.ClientID != "" && os.Getenv("AZURE_CLIENT_ID") != a.ClientID {
		return nil, errors.New("the client ID is not the one in AZURE_CLIENT_ID")
	}
	set := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return os.Getenv(name) == "" })
	}
	if !set("AZURE_TENANT_ID", "AZURE_CLIENT_ID") || !set("AZURE_CLIENT_SECRET") && !set("AZURE_CLIENT_CERTIFICATE_PATH") {
		return nil, errors.New("a service principal needs AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH in the environment")
	}
	return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options})
}

// noCredential is for a simulator, which asks for no token and is told nothing that looks like one.
type noCredential struct{}

func (noCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "none", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
