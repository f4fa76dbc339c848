//! The committed table of counts, `docs/cost.json`.

use serde_json::{json, Value};

use crate::measure::Counted;
use crate::worker::Count;

/// What requests cost, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The version of Envoy that they were counted in.
    pub(crate) envoy: String,
    /// The bytes of each module, by the name of its file.
    pub(crate) modules: Vec<(String, u64)>,
    pub(crate) lines: Vec<Line>,
}

/// What a request costs in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) group: String,
    /// The row without a filter.
    pub(crate) base: String,
    /// The row to be a multiple of.
    pub(crate) unit: String,
    pub(crate) count: Count,
}

/// A row that costs more than in the table, as multiples of its unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grown {
    pub(crate) id: String,
    pub(crate) unit: String,
    pub(crate) was: f64,
    pub(crate) is: f64,
}

/// How much a row may grow, as a part.
const GROWTH: f64 = 0.02;
/// A count that differs by no more than so many parts of ten thousand stays in the table as it is.
const SAME: u64 = 5;

// === impl Table ===

impl Table {
    /// The rows just counted.
    pub(crate) fn of(envoy: &str, counted: &[Counted]) -> Self {
        let line = |counted: &Counted| Line {
            id: counted.row.id.clone(),
            title: counted.row.title.clone(),
            group: counted.row.group.to_owned(),
            base: counted.row.base.clone(),
            unit: counted.row.unit.clone(),
            count: counted.count,
        };
        Self { envoy: envoy.to_owned(), modules: Vec::new(), lines: counted.iter().map(line).collect() }
    }

    /// The table in the text of a file, or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let all: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let envoy = all["envoy"].as_str().ok_or("no `envoy`")?.to_owned();
        let lines = all["rows"].as_array().ok_or("no `rows`")?.iter().map(read);
        let modules = all["modules"].as_object().into_iter().flatten();
        let modules = modules.filter_map(|(name, bytes)| Some((name.clone(), bytes.as_u64()?))).collect();
        Ok(Self { envoy, modules, lines: lines.collect::<Result<_, _>>()? })
    }

    /// The text of the file: one line for each row.
    pub(crate) fn print(&self) -> String {
        let rows: Vec<_> = self.lines.iter().map(|line| format!("    {}", write(line))).collect();
        let modules: serde_json::Map<_, _> =
            self.modules.iter().map(|(name, bytes)| (name.clone(), json!(bytes))).collect();
        format!(
            "{{\n  \"envoy\": {},\n  \"modules\": {},\n  \"rows\": [\n{}\n  ]\n}}\n",
            json!(self.envoy),
            Value::from(modules),
            rows.join(",\n")
        )
    }

    /// Takes over what was counted just now; the rows are those of `order`, in it.
    pub(crate) fn update(&mut self, now: &Self, order: &[String]) {
        let line = |id: &String| match (self.line(id), now.line(id)) {
            (Some(old), Some(new)) if same(old.count, new.count) => {
                Some(Line { count: old.count, ..new.clone() })
            }
            (old, new) => new.or(old).cloned(),
        };
        self.lines = order.iter().filter_map(line).collect();
        now.envoy.clone_into(&mut self.envoy);
    }

    /// The row with this id.
    pub(crate) fn line(&self, id: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.id == id)
    }

    /// What a request costs over the row without a filter.
    pub(crate) fn over(&self, line: &Line) -> Option<i64> {
        difference(line.count.whole(), self.line(&line.base)?.count.whole())
    }

    /// What a request costs over the row without a filter, as a multiple of the same of its unit.
    pub(crate) fn times(&self, line: &Line) -> Option<f64> {
        let unit = self.over(self.line(&line.unit)?)?;
        Some(self.over(line)? as f64 / unit as f64).filter(|times| times.is_finite())
    }

    /// Rows that cost at least 2 % more in `now`, or that this table does not have.
    ///
    /// Multiples are compared, because another processor or kernel changes all rows alike.
    pub(crate) fn grown(&self, now: &Self) -> Vec<Grown> {
        let check = |line: &Line| {
            let is = now.times(line)?;
            let was = self.line(&line.id).and_then(|line| self.times(line)).unwrap_or(0.0);
            let grown = Grown { id: line.id.clone(), unit: line.unit.clone(), was, is };
            (is > was * (1.0 + GROWTH)).then_some(grown)
        };
        now.lines.iter().filter(|line| line.id != line.base).filter_map(check).collect()
    }
}

/// `a - b`.
pub(crate) fn difference(a: u64, b: u64) -> Option<i64> {
    i64::try_from(a).ok()?.checked_sub(i64::try_from(b).ok()?)
}

fn same(old: Count, new: Count) -> bool {
    old.whole().abs_diff(new.whole()) * 10_000 <= old.whole() * SAME
}

fn write(line: &Line) -> String {
    let Count { envoy, libraries, module } = line.count;
    // By hand, for the order of the fields.
    format!(
        "{{\"id\": {}, \"title\": {}, \"group\": {}, \"base\": {}, \"unit\": {}, \
         \"envoy\": {envoy}, \"libraries\": {libraries}, \"module\": {module}}}",
        json!(line.id),
        json!(line.title),
        json!(line.group),
        json!(line.base),
        json!(line.unit),
    )
}

fn read(row: &Value) -> Result<Line, String> {
    let missing = |name: &str| format!("no `{name}` in {row}");
    let text = |name: &str| row[name].as_str().map(str::to_owned).ok_or_else(|| missing(name));
    let number = |name: &str| row[name].as_u64().ok_or_else(|| missing(name));
    Ok(Line {
        id: text("id")?,
        title: text("title")?,
        group: text("group")?,
        base: text("base")?,
        unit: text("unit")?,
        count: Count { envoy: number("envoy")?, libraries: number("libraries")?, module: number("module")? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, envoy: u64) -> Line {
        Line {
            id: id.to_owned(),
            title: format!("the \"{id}\" row"),
            group: "all".to_owned(),
            base: "none".to_owned(),
            unit: "empty".to_owned(),
            count: Count { envoy, libraries: 7, module: 3 },
        }
    }

    /// No filter, the unit, and one more row.
    fn table(none: u64, empty: u64, hot: u64) -> Table {
        let lines = vec![line("none", none), line("empty", empty), line("hot", hot)];
        let modules = vec![("a.wasm".to_owned(), 1024), ("b.wasm".to_owned(), 7)];
        Table { envoy: "1.40.0".to_owned(), modules, lines }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let table = table(100, 200, 350);
        assert_eq!(Table::parse(&table.print()), Ok(table));
    }

    #[test]
    fn a_text_that_is_no_table_is_an_error() {
        assert_eq!(Table::parse(r#"{"envoy": "1.40.0"}"#), Err("no `rows`".to_owned()));
        let missing = Table::parse(r#"{"envoy": "1.40.0", "rows": [{"id": "none"}]}"#);
        assert_eq!(missing, Err(r#"no `title` in {"id":"none"}"#.to_owned()));
    }

    #[test]
    fn a_row_may_grow_by_two_percent_of_its_multiple() {
        let old = table(100_000, 120_000, 130_000);
        #[rustfmt::skip]
        let cases = [
            ("as it was",                      table(100_000, 120_000, 130_000), None),
            ("cheaper",                        table(100_000, 120_000, 125_000), None),
            ("grown by less",                  table(100_000, 120_000, 130_590), None),
            ("grown by more",                  table(100_000, 120_000, 130_610), Some(1.5305)),
            ("a machine that needs more",      table(110_000, 132_000, 143_000), None),
            ("Envoy itself needs more",        table(150_000, 170_000, 180_000), None),
        ];
        for (name, now, expected) in cases {
            let grown = old.grown(&now);
            assert_eq!(grown.first().map(|grown| grown.is), expected, "{name}");
            assert!(grown.iter().all(|grown| grown.id == "hot" && (grown.was - 1.5).abs() < 1e-9), "{name}");
        }
    }

    #[test]
    fn a_row_that_the_table_does_not_have_has_grown() {
        let old = Table { lines: table(100, 200, 0).lines.into_iter().take(2).collect(), ..table(0, 0, 0) };
        let grown = old.grown(&table(100, 200, 350));
        assert_eq!(grown.len(), 1, "{grown:?}");
        assert_eq!((grown[0].id.as_str(), grown[0].was, grown[0].is), ("hot", 0.0, 2.5));
    }

    #[test]
    fn an_update_keeps_counts_that_hardly_differ_and_rows_that_were_not_counted() {
        let mut old = table(100_000, 120_000, 130_000);
        let now = Table {
            lines: vec![line("new", 5), line("empty", 120_060), line("none", 100_900)],
            ..old.clone()
        };
        let order = ["none", "empty", "hot", "new"].map(str::to_owned);
        old.update(&now, &order);
        let counts: Vec<_> = old.lines.iter().map(|line| (line.id.as_str(), line.count.envoy)).collect();
        assert_eq!(counts, [("none", 100_900), ("empty", 120_000), ("hot", 130_000), ("new", 5)]);
        old.update(&now, &order[..1]);
        assert_eq!(old.lines.len(), 1, "a row that is gone is dropped");
    }
}
