package azure

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// exchangeTimeout is how long one request and its answer may take.
const exchangeTimeout = 30 * time.Second

// client speaks to Azure Resource Manager. It retries nothing and waits for nothing: what it begins is an operation to come back to.
type client struct {
	credential azcore.TokenCredential
	options    *arm.ClientOptions
	factories  map[string]*armnetwork.ClientFactory // by subscription
}

// operation is a write that Azure has accepted and may still be working on.
type operation struct {
	// poll asks how it goes. An error of a write that failed comes with done.
	poll  func(context.Context) (done bool, err error)
	after time.Duration // as Azure asks for in Retry-After
}

func (c *client) factory(subscription string) (*armnetwork.ClientFactory, error) {
	if f := c.factories[at(subscription)]; f != nil {
		return f, nil
	}
	f, err := armnetwork.NewClientFactory(subscription, c.credential, c.options)
	if err == nil {
		c.factories[at(subscription)] = f
	}
	return f, err
}

// target is an ID taken apart, with the clients for it.
type target struct {
	*armnetwork.ClientFactory
	group, name, child string
}

func (c *client) target(id string) (target, error) {
	parsed, err := arm.ParseResourceID(id)
	if err != nil {
		return target{}, err
	}
	f, err := c.factory(parsed.SubscriptionID)
	t := target{ClientFactory: f, group: parsed.ResourceGroupName, name: parsed.Name}
	if parent := parsed.Parent; parent != nil && len(parsed.ResourceType.Types) > 1 {
		t.name, t.child = parent.Name, parsed.Name
	}
	return t, err
}

func (c *client) getLB(ctx context.Context, id string) (loadBalancer, error) {
	t, err := c.target(id)
	if err != nil {
		return loadBalancer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	res, err := t.NewLoadBalancersClient().Get(ctx, t.group, t.name, nil)
	return loadBalancerOf(res.LoadBalancer), err
}

func (c *client) getIP(ctx context.Context, id string) (publicIP, error) {
	t, err := c.target(id)
	if err != nil {
		return publicIP{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	res, err := t.NewPublicIPAddressesClient().Get(ctx, t.group, t.name, nil)
	return publicIPOf(res.PublicIPAddress), err
}

func (c *client) getGroup(ctx context.Context, id string) (securityGroup, error) {
	t, err := c.target(id)
	if err != nil {
		return securityGroup{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	res, err := t.NewSecurityGroupsClient().Get(ctx, t.group, t.name, nil)
	return securityGroupOf(res.SecurityGroup), err
}

// listLBs returns all of a resource group.
func (c *client) listLBs(ctx context.Context, subscription, group string) ([]loadBalancer, error) {
	f, err := c.factory(subscription)
	if err != nil {
		return nil, err
	}
	return pages(ctx, f.NewLoadBalancersClient().NewListPager(group, nil), func(page armnetwork.LoadBalancersClientListResponse) []loadBalancer {
		return each(page.Value, loadBalancerOf)
	})
}

// listIPs returns all of a resource group.
func (c *client) listIPs(ctx context.Context, subscription, group string) ([]publicIP, error) {
	f, err := c.factory(subscription)
	if err != nil {
		return nil, err
	}
	return pages(ctx, f.NewPublicIPAddressesClient().NewListPager(group, nil), func(page armnetwork.PublicIPAddressesClientListResponse) []publicIP {
		return each(page.Value, publicIPOf)
	})
}

// pages reads a list to its end. A page that fails makes the list fail: what is missing from it would look like what is not there.
func pages[P, T any](ctx context.Context, pager *runtime.Pager[P], items func(P) []T) ([]T, error) {
	var out []T
	for pager.More() {
		pageCtx, cancel := context.WithTimeout(ctx, exchangeTimeout)
		page, err := pager.NextPage(pageCtx)
		cancel()
		if err != nil {
			return nil, err
		}
		out = append(out, items(page)...)
	}
	return out, nil
}

func each[A, B any](in []*A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		if a != nil {
			out = append(out, f(*a))
		}
	}
	return out
}

func (c *client) putLB(ctx context.Context, lb loadBalancer, etag string) (operation, error) {
	t, err := c.target(lb.ID)
	if err != nil {
		return operation{}, err
	}
	return begin(ctx, etag, func(ctx context.Context) (*runtime.Poller[armnetwork.LoadBalancersClientCreateOrUpdateResponse], error) {
		return t.NewLoadBalancersClient().BeginCreateOrUpdate(ctx, t.group, t.name, lb.toARM(), nil)
	})
}

func (c *client) putPool(ctx context.Context, id string, to pool, etag string) (operation, error) {
	t, err := c.target(id)
	if err != nil {
		return operation{}, err
	}
	return begin(ctx, etag, func(ctx context.Context) (*runtime.Poller[armnetwork.LoadBalancerBackendAddressPoolsClientCreateOrUpdateResponse], error) {
		return t.NewLoadBalancerBackendAddressPoolsClient().BeginCreateOrUpdate(ctx, t.group, t.name, t.child, *to.toARM(), nil)
	})
}

func (c *client) putIP(ctx context.Context, ip publicIP, etag string) (operation, error) {
	t, err := c.target(ip.ID)
	if err != nil {
		return operation{}, err
	}
	return begin(ctx, etag, func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], error) {
		return t.NewPublicIPAddressesClient().BeginCreateOrUpdate(ctx, t.group, t.name, ip.toARM(), nil)
	})
}

func (c *client) putRule(ctx context.Context, id string, r securityRule, etag string) (operation, error) {
	t, err := c.target(id)
	if err != nil {
		return operation{}, err
	}
	return begin(ctx, etag, func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityRulesClientCreateOrUpdateResponse], error) {
		return t.NewSecurityRulesClient().BeginCreateOrUpdate(ctx, t.group, t.name, t.child, r.toARM(), nil)
	})
}

// putTags replaces the tags of a load balancer or public IP and nothing else of it.
func (c *client) putTags(ctx context.Context, id, etag string, tags map[string]string) (operation, error) {
	t, err := c.target(id)
	if err != nil {
		return operation{}, err
	}
	ctx, cancel := context.WithTimeout(ifMatch(ctx, etag), exchangeTimeout)
	defer cancel()
	body := armnetwork.TagsObject{Tags: pointers(tags)}
	if isPublicIP(id) {
		_, err = t.NewPublicIPAddressesClient().UpdateTags(ctx, t.group, t.name, body, nil)
	} else {
		_, err = t.NewLoadBalancersClient().UpdateTags(ctx, t.group, t.name, body, nil)
	}
	return operation{poll: func(context.Context) (bool, error) { return true, nil }}, err
}

func (c *client) delete(ctx context.Context, v verb, id string) (operation, error) {
	t, err := c.target(id)
	if err != nil {
		return operation{}, err
	}
	switch v {
	case deleteLB:
		return begin(ctx, "", func(ctx context.Context) (*runtime.Poller[armnetwork.LoadBalancersClientDeleteResponse], error) {
			return t.NewLoadBalancersClient().BeginDelete(ctx, t.group, t.name, nil)
		})
	case deleteIP:
		return begin(ctx, "", func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientDeleteResponse], error) {
			return t.NewPublicIPAddressesClient().BeginDelete(ctx, t.group, t.name, nil)
		})
	case deleteRule:
		return begin(ctx, "", func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityRulesClientDeleteResponse], error) {
			return t.NewSecurityRulesClient().BeginDelete(ctx, t.group, t.name, t.child, nil)
		})
	}
	return operation{}, errors.New("nothing to delete")
}

// begin sends a write. The SDK has no option for If-Match; its header is set for the first request only, not for those that ask how it goes.
func begin[T any](ctx context.Context, etag string, send func(context.Context) (*runtime.Poller[T], error)) (operation, error) {
	var response *http.Response
	writeCtx, cancel := context.WithTimeout(policy.WithCaptureResponse(ifMatch(ctx, etag), &response), exchangeTimeout)
	defer cancel()
	poller, err := send(writeCtx)
	if err != nil {
		return operation{}, err
	}
	return operation{after: retryAfter(response), poll: func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
		defer cancel()
		if poller.Done() { // what it came to is in the resource, which is read in any case
			return true, nil
		}
		answer, err := poller.Poll(ctx)
		if err != nil || !poller.Done() {
			return false, err
		}
		if succeeded(answer) {
			return true, nil
		}
		_, err = poller.Result(ctx)
		return true, err
	}}, nil
}

// succeeded tells whether an operation came to a good end, by what was answered about it. Only of another one the SDK is asked for the
// result: for a good one it would read the resource, or its child, which takes a request and a permission more.
func succeeded(answer *http.Response) bool {
	var body struct {
		Status string `json:"status"`
	}
	data, err := runtime.Payload(answer)
	return err == nil && json.Unmarshal(data, &body) == nil && same(body.Status, stateSucceeded)
}

func ifMatch(ctx context.Context, etag string) context.Context {
	if etag == "" {
		return ctx
	}
	return policy.WithHTTPHeader(ctx, http.Header{"If-Match": {etag}})
}

// retryAfter is what an answer asks for; 0 when it does not.
func retryAfter(r *http.Response) time.Duration {
	if r == nil {
		return 0
	}
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
