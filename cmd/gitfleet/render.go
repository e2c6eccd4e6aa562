package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/render/kustomize"
	"github.com/gitfleet/gitfleet/source"
)

func newRender() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "render [DIR]",
		Short: "Print the objects of a working tree, or every mistake in it",
		Long: `render builds the fleet repository in DIR (the current directory unless given) as it stands in the working tree,
and prints the objects as 'kustomize build' would. It exits with 1 and prints every mistake when there is one.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			objects, err := renderDir(cmd.Context(), dir, paths, cmd.ErrOrStderr())
			if err != nil {
				return printAuthorErrors(cmd, err)
			}
			return render.Print(cmd.OutOrStdout(), objects)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "path", nil, "directory below DIR to render; may be given again (default all)")
	return cmd
}

// renderDir renders a working tree and checks it as a revision would be. What is probably a mistake goes to notices.
func renderDir(ctx context.Context, dir string, paths []string, notices io.Writer) ([]render.Object, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	builder, err := newBuilder()
	if err != nil {
		return nil, err
	}
	objects, err := builder.Build(ctx, source.Snapshot{FS: root.FS()}, paths)
	if err != nil {
		return nil, err
	}
	desired, err := render.Compose(source.Revision{}, objects)
	if err != nil {
		return nil, err
	}
	if plan := reconcile.OfflinePlan(nil, desired, time.Now()); len(plan.Errors) > 0 {
		return nil, render.ManifestErrors(plan.Errors)
	}
	for _, n := range desired.Notices {
		fmt.Fprintln(notices, "notice:", n)
	}
	return objects, nil
}

// printAuthorErrors prints author errors one a line, as compilers do, and leaves every other error to the caller.
func printAuthorErrors(cmd *cobra.Command, err error) error {
	var authors render.ManifestErrors
	if !errors.As(err, &authors) {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), authors)
	return exitCode(exitError)
}

// renderChild is the hidden subcommand that builds with kustomize, apart from everything else.
const renderChild = "render-child"

func newRenderChild() *cobra.Command {
	return &cobra.Command{
		Use:    renderChild,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return kustomize.Main(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func newBuilder() (*kustomize.Builder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program to start it again for rendering: %w", err)
	}
	return kustomize.New(kustomize.Options{Command: []string{self, renderChild}}), nil
}
