//! What is counted: the rows of the benchmark, and some more.

use serde_json::json;
use tidegate_bench::chains;
use tidegate_bench::discovery::document;
use tidegate_bench::rows::{self, limits, row, unleased, Filter, Route, Row, FAST};
use tidegate_tests::paths::{module, probe};

/// The rows that `make test` counts, with those that they are compared with.
const MAIN: [&str; 8] = ["idle", "hot", "cold", "closed", "sticky", "found", "chain", "fused-4"];
/// Keys of the row with many: most of what the largest table has room for.
const MANY: u64 = 744_029;

const HEADERS: &str = "40 headers";

/// Every row, in the table's order.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = rows::all(&[]);
    rows.retain(|row| row.workers == 1 && row.id != "million");
    let comparable = rows.iter().take_while(|row| row.id != "hot").count();
    let idle = row("idle", "a filter of ours that does nothing", idle());
    rows.insert(comparable, Row { group: rows[0].group, ..idle });
    let direct = rows.iter().take_while(|row| row.route == Route::Direct).count();
    rows.splice(direct..direct, many_keys());
    rows.extend(many_headers());
    rows.extend(chains::rows());
    rows
}

/// The main rows.
pub(crate) fn main() -> Vec<Row> {
    rows::only(all(), &MAIN.map(str::to_owned))
}

fn idle() -> Filter {
    Filter::Wasm(probe("idle"), None)
}

/// The same request with one key in the table, and with many.
fn many_keys() -> Vec<Row> {
    let mut config = unleased();
    config["table"] = json!({"keys": 1 << 20});
    let with = || Filter::Wasm(module("ratelimit"), Some(config.clone()));
    vec![
        row("keys-1", "1 key, a table with room for 1,048,576", with()).under("flat in keys"),
        row("keys-744029", "744,029 keys in the same table", with()).known(MANY).under("flat in keys"),
    ]
}

fn many_headers() -> Vec<Row> {
    let direct = |id: &str, title: &str, filter| {
        row(id, title, filter).headers(30).under(HEADERS).against("none-40", "empty-40")
    };
    let hop = |id: &str, title: &str, filter| {
        row(id, title, filter).addressed().headers(30).under(HEADERS).against("dst-40", "dst-empty-40")
    };
    let empty = || Filter::Wasm(probe("empty"), None);
    let hot = Filter::Wasm(module("ratelimit"), Some(limits(1, FAST)));
    let found = Filter::Wasm(module("discovery"), Some(document(3, 1, &json!({}))));
    vec![
        direct("none-40", "no filter", Filter::None),
        direct("empty-40", "empty SDK filter", empty()),
        direct("hot-40", "hot key", hot),
        hop("dst-40", "no filter, the client names the upstream", Filter::None),
        hop("dst-empty-40", "empty SDK filter, the client names the upstream", empty()),
        hop("found-40", "discovery, 3 endpoints", found),
    ]
}
