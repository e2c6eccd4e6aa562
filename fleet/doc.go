// Package fleet holds what gitfleet keeps of each member cluster: its credentials, which follow the files they stand in,
// and one session that connects, watches, takes new credentials without losing what it knows, notices when the member is
// gone and comes back by itself.
//
// A session costs a quiet member nothing but watch renewals: no probes while it answers, no polling of discovery, no
// relists, no resync. An unreachable member costs one probe now and then, however many watches wait for it.
//
// What a session knows, it keeps while the member is away; that it is away shows in Session.State and Watch.Synced.
// An answer that failed or was cut never changes what a watch holds: unknown is not empty.
package fleet
