package main

import (
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/reconcile"
)

// limitOptions is what whoever runs gitfleet lets commits do, whatever they say. A plan tells what will be done only if it knows
// the same.
type limitOptions struct {
	accounts     []string
	confirmAbove int
}

func (o *limitOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.accounts, "service-account", nil, "DIR=NAMESPACE/NAME: placements written below DIR act as that ServiceAccount of the members; may be given again")
	flags.IntVar(&o.confirmAbove, "confirm-above", 100, "how many objects a commit may delete before a person must confirm it with a trailer in a commit; so must more than half of all when there are more than 20; 0 for any number")
}

func (o *limitOptions) validate() error {
	if o.confirmAbove < 0 {
		return fmt.Errorf("--confirm-above %d: must not be negative", o.confirmAbove)
	}
	_, err := o.confinements()
	return err
}

// confinements reads the --service-account flags.
func (o *limitOptions) confinements() ([]reconcile.Confinement, error) {
	var list []reconcile.Confinement
	for _, arg := range o.accounts {
		dir, account, ok := strings.Cut(arg, "=")
		namespace, name, named := strings.Cut(account, "/")
		if !ok || !named || dir == "" || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return nil, fmt.Errorf("--service-account %q: want DIR=NAMESPACE/NAME, such as teams/web=web/deployer", arg)
		}
		if dir = path.Clean(dir); path.IsAbs(dir) || strings.HasPrefix(dir, "..") {
			return nil, fmt.Errorf("--service-account %q: the directory is one of the repository, from its root", arg)
		}
		list = append(list, reconcile.Confinement{Dir: dir, Account: account})
	}
	return list, nil
}

// threshold is how much may be deleted without a person's word.
func (o *limitOptions) threshold() apply.Threshold {
	if o.confirmAbove == 0 {
		return apply.Threshold{Objects: math.MaxInt, Percent: 100}
	}
	return apply.Threshold{Objects: o.confirmAbove}
}
