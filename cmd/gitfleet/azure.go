package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/mcs/azure"
)

// azureOptions are for --load-balancer azure.
type azureOptions struct {
	config string
	auth   azure.Auth
}

func (o *azureOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.config, "azure-config", "", "for --load-balancer azure: the provider file, which says where load balancers are made and where members lie")
	flags.StringVar(&o.auth.Method, "azure-auth", "", "for --load-balancer azure: how to sign in: "+strings.Join(azure.Methods(), ", "))
	flags.StringVar(&o.auth.Cloud, "azure-cloud", "", "for --load-balancer azure: "+strings.Join(azure.Clouds(), ", ")+" (default AzurePublic)")
	flags.StringVar(&o.auth.Endpoint, "azure-endpoint", "", "for --load-balancer azure: URL of another Resource Manager, such as a simulator or that of a private cloud")
	flags.StringVar(&o.auth.ClientID, "azure-client-id", "", "for --load-balancer azure: the identity to use where there are several (default as the environment says)")
}

// validate also wants that nothing was set in vain.
func (o *azureOptions) validate(chosen bool) error {
	switch {
	case !chosen && *o != azureOptions{}:
		return errors.New("--azure-config, --azure-auth, --azure-cloud, --azure-endpoint and --azure-client-id need --load-balancer azure")
	case !chosen:
		return nil
	case o.config == "":
		return errors.New("--load-balancer azure needs the provider file: name it with --azure-config FILE")
	case !slices.Contains(azure.Methods(), o.auth.Method):
		return fmt.Errorf("--azure-auth %q: want %s", o.auth.Method, strings.Join(azure.Methods(), ", "))
	}
	return nil
}

// open returns the provider for a fleet that follows source.
func (o *azureOptions) open(source string, takeOver bool) (*azure.Provider, error) {
	config, err := azure.ReadConfig(o.config)
	if err != nil {
		return nil, fmt.Errorf("--azure-config: %w", err)
	}
	return azure.New(azure.Options{Config: config, Auth: o.auth, Source: source, TakeOver: takeOver})
}
