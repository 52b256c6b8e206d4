//! Limits of a provider that hold for all nodes together. Redis decides; while it cannot, this node
//! has a share of each limit, so that all nodes together stay within it.

use std::time::Duration;

use crate::clock::now;
use crate::redis::{OFFLINE_RATE_PERCENT, SharedCall, SharedDenial, SharedVerdict};
use crate::router::spend_limit::Moment;
use crate::router::unavailable::Unavailable;
use crate::router::upstream::Upstream;
use crate::router::upstream::call_permit::CallPermit;

/// The time by which a lease exceeds the longest call: a call that ended is reported by then.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// The wait where too many calls of all nodes are in flight.
const BUSY_WAIT: Duration = Duration::from_millis(200);

impl Upstream {
    /// Reserves a permitted call for all nodes together, in the time Redis has for it.
    ///
    /// # Errors
    /// Why all nodes together, or this node alone while Redis is not available, may not make the
    /// call.
    pub(super) async fn acquire_shared(&self, permit: &mut CallPermit) -> Result<(), Unavailable> {
        let Some(redis) = &self.redis else {
            return Ok(());
        };
        if !redis.is_online() {
            return self.check_share(permit, redis.nodes());
        }
        let call = redis.next_call();
        // Set before the request: one that timed out may have been carried out, and is then
        // settled.
        permit.shared_call = Some(call);
        match redis.acquire(&self.shared_call(permit, call)).await {
            Ok(verdict) => self.apply(&verdict),
            Err(_) => self.check_share(permit, redis.nodes()),
        }
    }

    fn shared_call(&self, permit: &CallPermit, call: u64) -> SharedCall<'_> {
        let moment = Moment::now();
        let [own, all] = &self.spend;
        let ([own_day, own_month], [day, month]) = (own.reports(moment), all.reports(moment));
        let settings = &self.settings;
        SharedCall {
            provider: &self.name,
            call,
            lease: settings.timeouts.total + LEASE_MARGIN,
            most_in_flight: settings.concurrency.get(),
            requests_per_minute: settings.requests_per_minute.map(Into::into),
            tokens_per_minute: settings.tokens_per_minute.map(Into::into),
            tokens: permit.tokens,
            cost: permit.cost.0,
            accounts: [own_day, own_month, day, month],
        }
    }

    fn apply(&self, verdict: &SharedVerdict) -> Result<(), Unavailable> {
        let moment = Moment::now();
        if let Some([own_day, own_month, day, month]) = verdict.accounts {
            let [own, all] = &self.spend;
            own.learn(verdict, [own_day, own_month], moment);
            all.learn(verdict, [day, month], moment);
        }
        match verdict.denial {
            None => Ok(()),
            Some(SharedDenial::Rate(wait)) => Err(Unavailable::RateLimited(wait)),
            Some(SharedDenial::Day) => Err(Unavailable::OverBudget(moment.until_tomorrow())),
            Some(SharedDenial::Reserved) => Err(Unavailable::Reserved),
            Some(SharedDenial::Month) => Err(Unavailable::OverBudget(moment.until_next_month())),
        }
    }

    /// Checks that the call is within this node's share of each limit.
    fn check_share(&self, permit: &CallPermit, nodes: u32) -> Result<(), Unavailable> {
        if nodes > 1 {
            let percent = OFFLINE_RATE_PERCENT;
            let rate = self
                .rate_limit
                .check_share(permit.tokens, percent, nodes, now());
            rate.map_err(Unavailable::RateLimited)?;
            let calls = (self.settings.concurrency.get() / nodes as usize).max(1);
            if self.calls_in_flight() > calls {
                return Err(Unavailable::RateLimited(BUSY_WAIT));
            }
        }
        if permit.cost.0 == 0 {
            return Ok(());
        }
        for limit in &self.spend {
            limit.check_share(permit.cost, nodes, Moment::now())?;
        }
        Ok(())
    }
}
