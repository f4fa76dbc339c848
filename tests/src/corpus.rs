//! Documents of all filters and requests for them, made up by a number: for tests that hold one layout of
//! the filters against another.

use serde_json::{json, Value};

/// Numbers that are the same in each run (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

/// The documents of some of the filters, by their parts in the document of all, and requests in order.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The filters that there are, in the order of a chain.
    pub parts: Vec<(&'static str, Value)>,
    /// The requests.
    pub asks: Vec<Ask>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When.
    pub at_ms: u64,
    /// Its path.
    pub path: &'static str,
    /// Its headers besides.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What an upstream answers.
    pub answers: u32,
}

/// Makes the document of a filter.
type Maker = fn(&mut Numbers, Chance) -> Value;

/// What is left to the clock and to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// Nothing, for a real proxy: what opens stays open, and there is one endpoint to choose from.
    No,
    /// All that virtual time can repeat.
    Yes,
}

const PATHS: [&str; 4] = ["/", "/shop", "/shop/cart", "/orders/7"];
const USERS: [&str; 4] = ["ann", "bob", "cem", "dora"];
/// What a client may send to steer, and what matters to some filter.
const HEADERS: [(&str, &str); 12] = [
    ("x-tidegate-cluster", "spare"),
    ("x-tidegate-cluster", "up"),
    ("x-tidegate-other", "1"),
    ("x-variant", "b"),
    ("x-envoy-original-dst-host", "10.0.0.9:80"),
    ("x-envoy-retry-on", "5xx"),
    ("x-force-variant", "b"),
    ("x-force-variant", "none"),
    ("cookie", "c=1; other=2"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-timeout", "1S"),
];

// === impl Numbers ===

impl Numbers {
    /// Those of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let n = u64::try_from(n.max(1)).unwrap_or(1);
        usize::try_from((mixed ^ (mixed >> 31)) % n).unwrap_or(0)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

// === impl Drawn ===

impl Drawn {
    /// Those of a seed: some of the filters and `count` requests.
    #[must_use]
    pub fn new(seed: u64, chance: Chance, count: usize) -> Self {
        let numbers = &mut Numbers::new(seed);
        let makers: [(&'static str, Maker); 4] =
            [("ratelimit", limits), ("routing", routes), ("breaker", breakers), ("discovery", services)];
        let mut parts: Vec<(&'static str, Value)> = Vec::new();
        while parts.is_empty() {
            for (name, make) in makers {
                if !numbers.one_in(5) {
                    parts.push((name, make(numbers, chance)));
                }
            }
        }
        // A breaker in front of discovery knows the services that discovery finds itself only in one module.
        if parts.iter().any(|(_, part)| part.to_string().contains(r#""target":{"service""#)) {
            for (_, part) in parts.iter_mut().filter(|(name, _)| *name == "discovery") {
                part["services"][0]["match"] = Value::Null;
            }
        }
        let mut at_ms = 0;
        let mut ask = |_| {
            at_ms += numbers.of(&[0, 0, 1, 40, 250, 1_000]);
            ask(numbers, at_ms)
        };
        Self { asks: (0..count).map(&mut ask).collect(), parts }
    }

    /// Whether a breaker may stand in the way of a variant so that the module of all filters chooses another:
    /// it has no fallback, acts, and its target is a variant, or a cluster or service of one.
    #[must_use]
    pub fn may_pass_over(&self) -> bool {
        let of = |part: &str| self.parts.iter().find(|(name, _)| *name == part).map(|(_, part)| part);
        let (Some(routing), Some(breaker)) = (of("routing"), of("breaker")) else { return false };
        let routes = routing.to_string();
        let breakers = breaker["breakers"].as_array().map_or(&[][..], Vec::as_slice);
        breakers.iter().any(|breaker| {
            let target = &breaker["target"];
            let goal = json!({"cluster": target["cluster"], "service": target["service"]});
            let goals = [
                format!(r#""cluster":{}"#, goal["cluster"]),
                format!(r#""service":{{"name":{}"#, goal["service"]),
            ];
            let meant = !target["variant"].is_null() || goals.iter().any(|goal| routes.contains(goal));
            meant && breaker["fallback"].is_null() && breaker["mode"].is_null()
        })
    }

    /// The document of all filters.
    #[must_use]
    pub fn fused(&self) -> Value {
        self.parts.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect()
    }
}

fn ask(numbers: &mut Numbers, at_ms: u64) -> Ask {
    let mut headers = vec![("x-user", numbers.of(&USERS))];
    for _ in 0..numbers.below(3) {
        let (name, value) = numbers.of(&HEADERS);
        if headers.iter().all(|(own, _)| *own != name) {
            headers.push((name, value));
        }
    }
    Ask {
        at_ms,
        path: numbers.of(&PATHS),
        headers,
        answers: numbers.of(&[200, 200, 200, 404, 429, 500, 503]),
    }
}

fn limits(numbers: &mut Numbers, _: Chance) -> Value {
    let key = |numbers: &mut Numbers| {
        numbers.of(&[json!(["host"]), json!([{"header": "x-user"}]), json!(["client_address"])])
    };
    let limit = |at: usize, numbers: &mut Numbers| {
        let mut limit = json!({"name": format!("l{at}"), "key": key(numbers), "requests": 1 + numbers.below(12), "per_ms": 3_600_000});
        if numbers.one_in(3) {
            limit["match"] = json!({"path": {"prefix": "/shop"}});
        }
        if numbers.one_in(4) {
            limit["mode"] = json!("observe");
        }
        limit
    };
    let limits: Vec<Value> = (0..=numbers.below(2)).map(|at| limit(at, numbers)).collect();
    json!({"limits": limits, "headers_on_admitted": numbers.one_in(2), "log_admitted": numbers.one_in(2)})
}

fn routes(numbers: &mut Numbers, chance: Chance) -> Value {
    let goal = |numbers: &mut Numbers| match numbers.below(8) {
        0 => json!({"status": 418}),
        1 => json!({"service": {"name": "orders", "tag": "nowhere"}}),
        2..=3 => json!({"service": {"name": "orders"}}),
        _ => json!({"cluster": numbers.of(&["up", "spare"])}),
    };
    let route = |at: usize, numbers: &mut Numbers| {
        let mut variants = vec![goal(numbers), goal(numbers)];
        for (variant, name) in variants.iter_mut().zip(["a", "b"]) {
            variant["name"] = json!(name);
            variant["weight"] = json!(50);
        }
        let mut route = json!({"name": format!("r{at}"), "variants": variants});
        if chance == Chance::No || numbers.one_in(2) {
            route["sticky"] = json!({"experiment": "e", "by": [{"header": "x-user"}]});
        } else if numbers.one_in(2) {
            route["sticky"] = json!({"experiment": "e", "cookie": {"name": "c"}});
        }
        if at == 0 {
            route["match"] = json!({"path": {"prefix": "/shop"}});
        }
        if chance == Chance::Yes && numbers.one_in(3) {
            let goals: Vec<Value> = vec![json!("up"), json!("spare")];
            route["variants"] = json!([
                {"name": "a", "cluster": goals[0], "weight": 50},
                {"name": "b", "cluster": goals[1], "weight": 50,
                 "ramp": {"steps": [{"weight": 80, "hold_ms": 1000}], "interval_ms": 500, "abort": {"min_samples": 2}}}]);
        }
        route
    };
    let routes: Vec<Value> = (0..=numbers.below(2)).map(|at| route(at, numbers)).collect();
    let mut document = json!({"routes": routes, "no_match": numbers.of(&["pass", "pass", "not_found"])});
    if numbers.one_in(2) {
        document["headers"] = json!({"variant": "x-variant", "response": "x-was"});
    }
    if numbers.one_in(2) {
        document["force"] = json!({"from": ["127.0.0.0/8"]});
    }
    document
}

fn breakers(numbers: &mut Numbers, chance: Chance) -> Value {
    let targets = [
        json!({"cluster": "up"}),
        json!({"cluster": "spare"}),
        json!({"route": "main"}),
        json!({"key": [{"header": "x-user"}]}),
        json!({"service": "orders"}),
        json!({"variant": "r0/b"}),
    ];
    let open_ms = if chance == Chance::Yes { 1_000 } else { 600_000 };
    let breaker = |at: usize, numbers: &mut Numbers| {
        let mut breaker = json!({"name": format!("b{at}"), "target": numbers.of(&targets),
            "consecutive_failures": 1 + numbers.below(3), "base_open_ms": open_ms, "max_open_ms": 600_000, "half_open_permits": 1});
        if chance == Chance::No {
            breaker["jitter_percent"] = json!(0);
        }
        if numbers.one_in(4) {
            breaker["fallback"] = json!([{"cluster": "fallback"}]);
        }
        if numbers.one_in(8) {
            breaker["state"] = json!("forced_open");
        }
        if numbers.one_in(6) {
            breaker["mode"] = json!("observe");
        }
        breaker
    };
    let breakers: Vec<Value> = (0..=numbers.below(3)).map(|at| breaker(at, numbers)).collect();
    json!({"breakers": breakers})
}

fn services(numbers: &mut Numbers, chance: Chance) -> Value {
    let endpoint = |last: usize| json!({"address": format!("10.0.0.{last}"), "port": 80});
    let most = if chance == Chance::Yes { 3 } else { 1 };
    let endpoints: Vec<Value> = (0..=numbers.below(most)).map(|at| endpoint(at + 1)).collect();
    // One that does not answer, so that requests wait.
    let silent = chance == Chance::Yes && numbers.one_in(8);
    let registry = if silent {
        json!({"consul": {"cluster": "consul"}})
    } else {
        json!({"static": {"services": {"orders": endpoints}}})
    };
    let mut service = json!({"name": "orders", "registry": "main", "attempts": 1 + numbers.below(2)});
    if numbers.one_in(2) {
        service["match"] = json!({"path": {"prefix": numbers.of(&["/orders", "/", "/shop"])}});
    }
    json!({"registries": {"main": registry}, "services": [service],
        "allow": ["10.0.0.0/8:1-65535", "127.0.0.0/8:1-65535"],
        "no_match": numbers.of(&["pass", "pass", "not_found"]), "on_failure": numbers.of(&["refuse", "allow"])})
}
