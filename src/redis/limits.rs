//! Limits that hold for all nodes together, as values: the arguments and responses of the scripts.

use std::time::Duration;

use crate::redis::connection::{RedisFault, RedisReply};

/// Of each spending limit, the part that is divided among the nodes for the time without Redis: a
/// quarter. Redis keeps the unspent part of each node's share free for it, so that all nodes
/// together never exceed the limit.
pub const OFFLINE_SPEND_DIVISOR: u64 = 4;

/// Of each rate limit, the part in percent that is divided among the nodes for the time without
/// Redis.
pub const OFFLINE_RATE_PERCENT: u64 = 90;

/// One account of a spending limit: a provider's or that of all providers, in a day or in a month.
/// Amounts are in billionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountReport {
    /// The limit, if there is one.
    pub limit: Option<u64>,
    /// The day or month since 1970 the following amounts belong to, by the node's clock.
    pub period: u32,
    /// The amount this node has spent.
    pub spent: u64,
    /// The last total of all nodes that this node knows of.
    pub known: u64,
}

/// A call for which room is reserved at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCall<'a> {
    /// Name of the provider.
    pub provider: &'a str,
    /// Number of the call, unique in this process.
    pub call: u64,
    /// Time after which the call counts as ended although nobody reported its end.
    pub lease: Duration,
    /// The most calls of all nodes in flight.
    pub most_in_flight: usize,
    /// Requests that all nodes together may send per minute, or `None` without a limit.
    pub requests_per_minute: Option<u32>,
    /// Tokens that all nodes together may use per minute, or `None` without a limit.
    pub tokens_per_minute: Option<u32>,
    /// The most tokens the call may take.
    pub tokens: u32,
    /// The most it may cost, in billionths of a dollar.
    pub cost: u64,
    /// The provider's day and month, and the day and month of all providers.
    pub accounts: [AccountReport; 4],
}

/// Reasons why Redis does not allow a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedDenial {
    /// A limit of requests, tokens or calls in flight, with the time until there may be room.
    Rate(Duration),
    /// The spending limit of the day.
    Day,
    /// The spending limit of the month.
    Month,
    /// A spending limit that is reached only with what calls in flight have reserved.
    Reserved,
}

/// Amounts of one account before the call, as Redis knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountTotals {
    /// Spent by this node.
    pub own: u64,
    /// Spent by all nodes.
    pub total: u64,
}

/// The decision of Redis about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedVerdict {
    /// Reason why the call is not allowed, or `None` if it is allowed.
    pub denial: Option<SharedDenial>,
    /// The number of nodes that share the limits.
    pub nodes: u32,
    /// The day since 1970 by the clock of Redis.
    pub day: u32,
    /// The month since 1970 by the clock of Redis.
    pub month: u32,
    /// The accounts, in the order of the call's.
    pub accounts: Option<[AccountTotals; 4]>,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Name of the provider.
    pub provider: String,
    /// Number of the call.
    pub call: u64,
    /// False for a call that was never sent.
    pub was_made: bool,
    /// Tokens it took.
    pub tokens: u64,
    /// Its cost, in billionths of a dollar.
    pub cost: u64,
}

/// Writes the arguments of `acquire.lua` after the call and the node.
pub(super) fn arguments(call: &SharedCall<'_>, nodes: u32) -> Vec<String> {
    let limit = |limit: Option<u32>| limit.unwrap_or(0).to_string();
    let mut arguments = vec![
        call.lease.as_millis().to_string(),
        call.most_in_flight.to_string(),
        limit(call.requests_per_minute),
        limit(call.tokens_per_minute),
        call.tokens.to_string(),
        call.cost.to_string(),
        nodes.to_string(),
    ];
    for account in &call.accounts {
        let limit = account
            .limit
            .map_or("-1".to_owned(), |limit| limit.to_string());
        arguments.push(limit);
        arguments.push(account.period.to_string());
        arguments.push(account.spent.to_string());
        arguments.push(account.known.to_string());
    }
    arguments
}

/// Reads the response of `acquire.lua`.
pub(super) fn verdict(reply: &RedisReply) -> Result<SharedVerdict, RedisFault> {
    read(reply).ok_or_else(|| RedisFault::Rejected("an unexpected response".to_owned()))
}

fn read(reply: &RedisReply) -> Option<SharedVerdict> {
    let RedisReply::List(parts) = reply else {
        return None;
    };
    let number = |index: usize| match parts.get(index) {
        Some(RedisReply::Number(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let Some(RedisReply::Bytes(why)) = parts.get(1) else {
        return None;
    };
    let small = |index| number(index).and_then(|number| u32::try_from(number).ok());
    let wait = Duration::from_millis(number(2)?.max(1));
    let denial = match (number(0)?, why.as_slice()) {
        (1, _) => None,
        (_, b"day_spend") => Some(SharedDenial::Day),
        (_, b"month_spend") => Some(SharedDenial::Month),
        (_, b"reserved_spend") => Some(SharedDenial::Reserved),
        _ => Some(SharedDenial::Rate(wait)),
    };
    let mut accounts = [AccountTotals::default(); 4];
    for (index, account) in accounts.iter_mut().enumerate() {
        account.own = number(6 + 2 * index)?;
        account.total = number(7 + 2 * index)?;
    }
    let has_accounts = matches!(why.as_slice(), b"ok" | b"day_spend" | b"month_spend");
    Some(SharedVerdict {
        denial,
        nodes: small(3)?,
        day: small(4)?,
        month: small(5)?,
        accounts: has_accounts.then_some(accounts),
    })
}
