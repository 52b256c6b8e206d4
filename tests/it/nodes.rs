//! Several nodes with one Redis: limits and spending hold for all of them together, drafts are
//! shared, and whatever happens to Redis, commands go on and no limit of spending is exceeded. A
//! real redis-server, real HTTP.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sayso::testing::cache::settings::CacheSettings;
use sayso::testing::cache::{DraftCache, Key};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::command::reply::Refusal;
use sayso::testing::home::Home;
use sayso::testing::prompt::PromptFingerprint;
use sayso::testing::provider::price::{Limits, Money, Prices};
use sayso::testing::provider::{Settings, Timeouts};
use sayso::testing::redis::settings::RedisSettings;
use sayso::testing::redis::{AccountReport, Redis, Settlement, SharedCall, SharedDenial};
use sayso::testing::router::Router;
use sayso::testing::router::settings::RouterSettings;
use sayso::testing::telemetry::counters::Counters;
use sayso::testing::vocabulary::action::Draft;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, provider};
use crate::redis_server::RedisServer;
use crate::scene::{PATIENCE, Scene};

/// The cost of one answer of the scripted endpoint: 100 tokens of the prompt, and 20 of the answer.
const COST: u64 = 100 * PER_TOKEN + 20 * PER_TOKEN;
const PER_TOKEN: u64 = 5_000;

/// One gateway: its router, and its connection to Redis.
struct Node {
    router: Router,
    redis: Arc<Redis>,
    counters: Arc<Counters>,
    supervision: JoinSet<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.supervision.abort_all();
    }
}

impl Node {
    fn new(settings: RedisSettings, provider: Settings, spend: Limits) -> Self {
        let counters = Arc::<Counters>::default();
        let redis = Arc::new(Redis::new(settings, Arc::clone(&counters)).unwrap());
        let router = RouterSettings {
            providers: vec![provider],
            attempts: NonZeroU32::MIN,
            longest_pause: Duration::from_millis(20),
            patience: Duration::from_secs(30),
            spend,
            ..RouterSettings::default()
        };
        let (for_router, for_run) = (Arc::clone(&redis), Arc::clone(&redis));
        let router = Router::with_redis(router, Arc::clone(&counters), Some(for_router)).unwrap();
        let mut supervision = JoinSet::new();
        supervision.spawn(async move { for_run.run().await });
        Self {
            router,
            redis,
            counters,
            supervision,
        }
    }

    async fn online(self) -> Self {
        assert!(self.redis.online(PATIENCE).await);
        self
    }

    /// Dollars spent by this node, in billionths.
    fn spent(&self) -> u64 {
        Money::dollars(self.router.spent().0).0
    }
}

/// A provider with time enough on a loaded machine, whose tokens have a price.
fn paid(endpoint: &Endpoint) -> Settings {
    let long = Duration::from_mins(1);
    Settings {
        prices: Some(Prices {
            input: Money(PER_TOKEN),
            cached: Money(PER_TOKEN),
            written: Money(PER_TOKEN),
            output: Money(PER_TOKEN),
        }),
        concurrency: NonZeroUsize::new(32).unwrap(),
        max_output_tokens: 20,
        timeouts: Timeouts {
            connect: long,
            first_byte: long,
            between_bytes: long,
            total: long,
        },
        ..provider("model", endpoint.url())
    }
}

fn day(limit: u64) -> Limits {
    Limits {
        per_day: Some(Money(limit)),
        per_month: None,
    }
}

async fn fleet(server: &RedisServer, provider: &Settings, spend: Limits) -> Vec<Node> {
    let nodes = ["a", "b", "c", "d"].map(|name| {
        let node = Node::new(server.settings(name, 4), provider.clone(), spend);
        node.online()
    });
    join_all(nodes).await
}

/// Lets every node make `each` requests at the same time; returns the number of answers.
async fn ask_all(nodes: &[Node], each: usize) -> usize {
    let requests = nodes
        .iter()
        .flat_map(|node| (0..each).map(|_| ask(&node.router)));
    let answers = join_all(requests).await;
    answers.iter().filter(|answer| answer.is_ok()).count()
}

/// Waits until Redis has the total that the nodes have spent; their reports come after the calls.
async fn settled(server: &RedisServer, total: u64) {
    let end = Instant::now() + PATIENCE;
    while server.number("{house}:day:all", "t") != total {
        let found = server.number("{house}:day:all", "t");
        assert!(Instant::now() < end, "{found} in Redis, {total} spent");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn offline(redis: &Redis) {
    let end = Instant::now() + PATIENCE;
    while redis.is_online() {
        assert!(Instant::now() < end, "still online");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn four_nodes_make_a_hundred_requests_and_spend_what_redis_counts() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let limited = Settings {
        requests_per_minute: NonZeroU32::new(100),
        ..paid(&endpoint)
    };
    let nodes = fleet(&server, &limited, day(1_000_000_000)).await;
    let mut granted = 0;
    for _ in 0..4 {
        granted += ask_all(&nodes, 8).await;
    }
    assert_eq!((granted, endpoint.requests()), (100, 100));
    let spent: u64 = nodes.iter().map(Node::spent).sum();
    assert_eq!(spent, 100 * COST);
    settled(&server, spent).await;
    let each = nodes.iter().map(Node::spent).collect::<Vec<_>>();
    println!(
        "four nodes, 128 requests, limit 100: {granted} granted, spent {each:?}, in all {spent}"
    );
}

#[tokio::test]
async fn no_call_is_made_that_could_exceed_the_spending_limit_of_all() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    // Of eight calls at the same time not all fit, by the most they may cost.
    let limit = 60 * COST;
    let nodes = fleet(&server, &paid(&endpoint), day(limit)).await;
    let mut answers = 0;
    for _ in 0..20 {
        answers += ask_all(&nodes, 2).await;
    }
    let refusal = loop {
        match ask(&nodes[0].router).await {
            Ok(_) => answers += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, Refusal::OverBudget { .. }), "{refusal:?}");
    let spent: u64 = nodes.iter().map(Node::spent).sum();
    assert!(spent <= limit, "{spent} of {limit}");
    assert!(answers >= 10, "{answers}");
    assert_eq!(spent, COST * answers as u64);
}

#[tokio::test]
async fn when_redis_dies_the_nodes_never_exceed_the_ceiling_together() {
    let mut server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let limit = 400 * COST;
    let nodes = fleet(&server, &paid(&endpoint), day(limit)).await;
    // One node alone uses nearly all that is not kept for the others.
    let mut alone = 0;
    for _ in 0..80 {
        alone += ask_all(&nodes[..1], 5).await;
    }
    assert!(alone > 200, "{alone}");
    server.kill();
    for node in &nodes {
        offline(&node.redis).await;
    }
    let mut without = 0;
    for _ in 0..10 {
        without += ask_all(&nodes, 3).await;
    }
    let spent: u64 = nodes.iter().map(Node::spent).sum();
    assert!(spent <= limit, "{spent} of {limit}");
    assert!(without > 0, "the shares of the idle nodes were not used");
    println!("one node {alone} with Redis, all {without} without: spent {spent} of {limit}");
}

#[tokio::test]
async fn without_redis_each_node_has_its_share_of_the_rate_limit() {
    let mut server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let limited = Settings {
        requests_per_minute: NonZeroU32::new(100),
        ..paid(&endpoint)
    };
    let nodes = fleet(&server, &limited, Limits::default()).await;
    server.kill();
    for node in &nodes {
        offline(&node.redis).await;
    }
    let mut granted = 0;
    for _ in 0..10 {
        granted += ask_all(&nodes[..1], 4).await;
    }
    // Nine tenths of 100, divided by four nodes.
    assert_eq!(granted, 22);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_two_requests_and_no_more() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let settings = RedisSettings {
        timeout: Duration::from_millis(100),
        ..server.settings("a", 1)
    };
    let node = Node::new(settings, paid(&endpoint), Limits::default());
    let node = node.online().await;
    server.signal("STOP");
    for _ in 0..10 {
        ask(&node.router).await.unwrap();
    }
    let waited = node.counters.redis_errors.value();
    assert!((1..=2).contains(&waited), "{waited} requests waited");
    assert!(!node.redis.is_online());
    server.signal("CONT");
    assert!(node.redis.online(PATIENCE).await, "it is used again");
    ask(&node.router).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_accepts_and_never_answers_is_never_online() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let settings = RedisSettings {
        url,
        ..server.settings("a", 1)
    };
    let node = Node::new(settings, paid(&endpoint), Limits::default());
    for _ in 0..5 {
        ask(&node.router).await.unwrap();
    }
    assert!(!node.redis.is_online());
    assert_eq!(node.counters.redis_errors.value(), 0, "no request waited");
}

#[tokio::test]
async fn an_empty_redis_gets_back_the_spending_and_not_twice() {
    let mut server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let limit = day(1000 * COST);
    let node = Node::new(server.settings("a", 1), paid(&endpoint), limit);
    let node = node.online().await;
    for _ in 0..3 {
        ask(&node.router).await.unwrap();
    }
    settled(&server, 3 * COST).await;
    for round in 1..=2 {
        server.restart().await;
        assert_eq!(server.cli(&["dbsize"]), "0");
        // The connection may not have noticed yet; then the call counts for the node alone.
        connected_again(&server, &node).await;
        ask(&node.router).await.unwrap();
        settled(&server, (3 + round) * COST).await;
    }
}

/// Waits until the node uses the server that was started again.
async fn connected_again(server: &RedisServer, node: &Node) {
    let end = Instant::now() + PATIENCE;
    loop {
        drop(node.redis.claim("probe").await);
        // The server has counted this node only after a new connection.
        if node.redis.online(PATIENCE).await && server.cli(&["exists", "{house}:n"]) == "1" {
            return;
        }
        assert!(Instant::now() < end, "not connected again");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_redis_restored_from_an_old_dump_is_corrected_by_the_nodes() {
    let mut server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let node = Node::new(server.settings("a", 1), paid(&endpoint), day(1000 * COST));
    let node = node.online().await;
    ask(&node.router).await.unwrap();
    settled(&server, COST).await;
    assert_eq!(server.cli(&["save"]), "OK");
    for _ in 0..4 {
        ask(&node.router).await.unwrap();
    }
    settled(&server, 5 * COST).await;
    server.restart().await;
    assert_eq!(server.number("{house}:day:all", "t"), COST, "the old dump");
    connected_again(&server, &node).await;
    ask(&node.router).await.unwrap();
    settled(&server, 6 * COST).await;
}

#[tokio::test]
async fn a_node_with_a_new_store_learns_what_it_has_spent() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let node = || Node::new(server.settings("a", 2), paid(&endpoint), day(1000 * COST));
    let before = node().online().await;
    for _ in 0..3 {
        ask(&before.router).await.unwrap();
    }
    settled(&server, 3 * COST).await;
    drop(before);
    let after = node().online().await;
    ask(&after.router).await.unwrap();
    assert_eq!(after.spent(), 4 * COST);
}

#[tokio::test]
async fn a_full_redis_rejects_writes_and_commands_go_on() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let node = Node::new(server.settings("a", 1), paid(&endpoint), day(1000 * COST));
    let node = node.online().await;
    server.cli(&["config", "set", "maxmemory", "1"]);
    for _ in 0..5 {
        ask(&node.router).await.unwrap();
    }
    assert_eq!(node.spent(), 5 * COST, "the node's own ledger counts");
    let why = node.redis.health().why.unwrap();
    assert!(why.contains("OOM"), "{why}");
    server.cli(&["config", "set", "maxmemory", "0"]);
    ask(&node.router).await.unwrap();
    settled(&server, 6 * COST).await;
}

fn call(number: u64, cost: u64, limit: u64) -> SharedCall<'static> {
    let account = AccountReport {
        limit: Some(limit),
        ..AccountReport::default()
    };
    SharedCall {
        provider: "model",
        call: number,
        lease: PATIENCE,
        most_in_flight: 2,
        requests_per_minute: None,
        tokens_per_minute: Some(1000),
        tokens: 400,
        cost,
        accounts: [account; 4],
    }
}

#[tokio::test]
async fn a_repeated_reservation_or_settlement_counts_once() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let node = Node::new(server.settings("a", 1), paid(&endpoint), Limits::default());
    let node = node.online().await;
    let one = call(node.redis.next_call(), 100, 1000);
    for _ in 0..3 {
        assert_eq!(node.redis.acquire(&one).await.unwrap().denial, None);
    }
    assert_eq!(server.number("{house}:day:provider:model", "t"), 100);
    let end = Settlement {
        provider: "model".to_owned(),
        call: one.call,
        was_made: true,
        tokens: 300,
        cost: 70,
    };
    for _ in 0..3 {
        node.redis.settle(end.clone());
    }
    settled(&server, 70).await;
    // 300 tokens are used and 400 reserved: 400 more do not fit in the minute.
    let two = call(node.redis.next_call(), 100, 1000);
    assert_eq!(node.redis.acquire(&two).await.unwrap().denial, None);
    let three = call(node.redis.next_call(), 100, 1000);
    let denial = node.redis.acquire(&three).await.unwrap().denial;
    assert!(matches!(denial, Some(SharedDenial::Rate(_))), "{denial:?}");
    assert_eq!(server.number("{house}:month:all", "t"), 170);
}

#[tokio::test]
async fn the_place_of_a_dead_node_is_free_after_its_lease_and_its_reserve_stays_charged() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let (dead, alive) = pair(&server, &endpoint).await;
    for _ in 0..2 {
        let short = SharedCall {
            lease: Duration::from_millis(1),
            tokens: 10,
            ..call(dead.redis.next_call(), 100, 1000)
        };
        assert_eq!(dead.redis.acquire(&short).await.unwrap().denial, None);
    }
    drop(dead);
    let end = Instant::now() + PATIENCE;
    let next = SharedCall {
        tokens: 10,
        ..call(alive.redis.next_call(), 100, 1000)
    };
    while alive.redis.acquire(&next).await.unwrap().denial.is_some() {
        assert!(Instant::now() < end, "its place is not free");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.number("{house}:day:all", "t"), 300);
}

/// A provider without prices: nothing is reserved or settled of the spend.
#[tokio::test]
async fn calls_that_cost_nothing_are_settled_and_end_with_the_lease_of_a_dead_node() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let (dead, alive) = pair(&server, &endpoint).await;
    // An older server rejects the name of the client in the handshake.
    server.cli(&["config", "resetstat"]);
    let free = |node: &Node| SharedCall {
        tokens: 10,
        ..call(node.redis.next_call(), 0, 1000)
    };
    let ended = free(&alive);
    assert_eq!(alive.redis.acquire(&ended).await.unwrap().denial, None);
    alive.redis.settle(Settlement {
        provider: "model".to_owned(),
        call: ended.call,
        was_made: true,
        tokens: 10,
        cost: 0,
    });
    alive.redis.flush(PATIENCE).await;
    for _ in 0..2 {
        let short = SharedCall {
            lease: Duration::from_millis(1),
            ..free(&dead)
        };
        assert_eq!(dead.redis.acquire(&short).await.unwrap().denial, None);
    }
    drop(dead);
    sleep(Duration::from_millis(20)).await;
    let next = free(&alive);
    assert_eq!(alive.redis.acquire(&next).await.unwrap().denial, None);
    assert_eq!(server.cli(&["zcard", "{house}:f:model"]), "1");
    assert_eq!(server.cli(&["hlen", "{house}:c:model"]), "1");
    // No command of a script was rejected.
    let rejected = server.cli(&["info", "errorstats"]);
    assert!(!rejected.contains("errorstat_ERR"), "{rejected}");
}

#[tokio::test]
async fn two_nodes_together_have_no_more_calls_in_flight_than_one_may() {
    let server = RedisServer::start().await;
    let slow = Script::turns_on("lamp").after(Duration::from_millis(50));
    let endpoint = Endpoint::start([slow]).await;
    let limited = Settings {
        concurrency: NonZeroUsize::new(2).unwrap(),
        ..paid(&endpoint)
    };
    let nodes = fleet(&server, &limited, Limits::default()).await;
    assert_eq!(ask_all(&nodes, 2).await, 8);
    assert!(endpoint.most_at_once() <= 2, "{}", endpoint.most_at_once());
}

fn cache(redis: &Arc<Redis>, models: &[&str]) -> DraftCache {
    let models = models.iter().map(|model| (*model).to_owned()).collect();
    DraftCache::new(&CacheSettings::default(), models, None, Arc::default()).with_redis(Some(redis))
}

fn key(cache: &DraftCache, text: &str) -> Key {
    let home = Home::empty("sayso");
    let phrase = Phrase::new(text, None, None);
    cache.key(&phrase, PromptFingerprint::of(&home), "panel")
}

fn spoken(words: &str) -> Draft {
    Draft {
        speech: Some(words.to_owned()),
        ..Draft::default()
    }
}

/// Two gateways of one site, connected to Redis.
async fn pair(server: &RedisServer, endpoint: &Endpoint) -> (Node, Node) {
    let node = |name| {
        let settings = server.settings(name, 2);
        Node::new(settings, paid(endpoint), Limits::default()).online()
    };
    (node("a").await, node("b").await)
}

async fn recalled(cache: &DraftCache, key: &Key) -> Draft {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(draft) = cache.claim(key, Duration::ZERO).await {
            return draft;
        }
        assert!(Instant::now() < end, "not written");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_draft_of_one_node_is_a_hit_at_another_and_forgotten_for_all() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let (one, two) = pair(&server, &endpoint).await;
    let (first, second) = (cache(&one.redis, &["m"]), cache(&two.redis, &["m"]));
    for text in ["why is the sky blue", "what is rain"] {
        first.keep(&key(&first, text), "m", &spoken(text), true);
        assert_eq!(recalled(&second, &key(&second, text)).await, spoken(text));
    }
    // A model that is not configured here, and a value of another program, are misses.
    let other = cache(&two.redis, &["other"]);
    let sky = key(&other, "why is the sky blue");
    assert_eq!(other.claim(&sky, Duration::ZERO).await, None);
    for name in server.cli(&["--scan", "--pattern", "*"]).lines() {
        assert!(name.starts_with("{house}:"), "{name}");
    }
    let phrase = Phrase::new("what is rain", None, None);
    let forgetting = Arc::new(second);
    let by_operator = Arc::clone(&forgetting);
    let forgotten =
        tokio::task::spawn_blocking(move || by_operator.forget_shared(Some(&phrase))).await;
    assert_eq!(forgotten.unwrap(), Some(1));
    let rain = key(&first, "what is rain");
    assert_eq!(forgetting.claim(&rain, Duration::ZERO).await, None);
    assert!(first.claim(&sky, Duration::ZERO).await.is_some());
    for name in server.cli(&["--scan", "--pattern", "{house}:d:*"]).lines() {
        server.cli(&["set", name, "{\"until\": 99, \"draft\": []}"]);
    }
    assert_eq!(forgetting.claim(&sky, Duration::ZERO).await, None);
}

#[tokio::test]
async fn equal_requests_of_two_nodes_are_made_once() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("lamp")]).await;
    let (one, two) = pair(&server, &endpoint).await;
    let (first, second) = (cache(&one.redis, &["m"]), cache(&two.redis, &["m"]));
    let sky = key(&first, "why is the sky blue");
    assert_eq!(first.claim(&sky, PATIENCE).await, None, "the first asks");
    let waiting = second.claim(&sky, PATIENCE);
    let answering = async {
        sleep(Duration::from_millis(100)).await;
        first.keep(&sky, "m", &spoken("scattering"), true);
    };
    let (joined, ()) = tokio::join!(waiting, answering);
    assert_eq!(joined, Some(spoken("scattering")));
    // One that fails gives up its claim, and the other asks.
    let rain = key(&first, "what is rain");
    assert_eq!(first.claim(&rain, PATIENCE).await, None);
    first.release(&rain);
    assert_eq!(second.claim(&rain, PATIENCE).await, None);
}

#[tokio::test]
async fn two_gateways_share_answers_and_a_hung_redis_stops_neither() {
    let server = RedisServer::start().await;
    let endpoint = Endpoint::start([Script::turns_on("kitchen_light")]).await;
    let house = |node: &str| {
        let table = format!(
            "[redis]\nurl = \"{}\"\nnode = \"{node}\"\nsite = \"house\"\ntimeout = \"1s\"",
            server.url()
        );
        Scene::new().with(&table).endpoint(&endpoint).start()
    };
    let (mut one, mut two) = (house("a").await, house("b").await);
    for stage in [&one, &two] {
        stage.daemon.says("redis is connected", PATIENCE).await;
    }
    let known = one.say("turn on the kitchen light").await;
    assert_eq!(
        (&known["outcome"], &known["via"]),
        (&"done".into(), &"local".into())
    );
    let used = server.cli(&["info", "commandstats"]);
    assert!(
        !used.contains("cmdstat_getrange"),
        "a local command used Redis: {used}"
    );

    // A lookup that takes too long is a miss, so that a busy machine may need another phrase.
    let mut shared = false;
    for attempt in 1..=5 {
        let text = format!("make the kitchen cosy for reading number {attempt}");
        assert_eq!(one.say(&text).await["via"], "model1");
        let reply = two.say(&text).await;
        assert_eq!(reply["outcome"], "done", "{reply}");
        shared |= reply["via"] == "cache";
        if shared {
            break;
        }
    }
    assert!(shared, "no answer was shared\n{}", two.daemon.log());

    let doctor = two.place.sayso();
    let found = examined(doctor, &two.place.config()).await;
    assert!(
        found.contains("site house, node b, 2 nodes known"),
        "{found}"
    );

    server.signal("STOP");
    assert_eq!(one.say("turn off the kitchen light").await["via"], "local");
    let reply = one.say("make the kitchen cosy for knitting").await;
    assert_eq!(
        (&reply["outcome"], &reply["via"]),
        (&"done".into(), &"model1".into())
    );
    one.daemon.says("redis is not available", PATIENCE).await;
    for guest in 0..3 {
        let text = format!("make the kitchen cosy for guest number {guest}");
        assert_eq!(one.say(&text).await["outcome"], "done");
    }
    // One line for the change, and none for each request; it names the gateway.
    let log = one.daemon.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("redis is not available"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].ends_with(" site=house node=a"), "{}", lines[0]);
    server.signal("CONT");
}

/// Returns what `sayso doctor` prints.
async fn examined(mut sayso: std::process::Command, config: &std::path::Path) -> String {
    sayso
        .args(["doctor", "--no-models", "--config"])
        .arg(config);
    let output = tokio::process::Command::from(sayso).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
