//! JSON Schema, draft 2020-12.
//!
//! A schema accepts what the filter accepts, and refuses what the tables of fields refuse. It cannot say
//! rules between fields, the bounds of durations that are written as texts, nor all of some forms of
//! text, such as networks; there it accepts more.

use std::collections::BTreeMap;

use serde_json::{json, Map, Value};
use tidegate_policy::config::definition::Absent;
use tidegate_policy::config::{Def, Group, Kind, Literal, Table, Text};

/// One or more numbers with their units.
const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$";

/// Tables by their names.
type Tables = BTreeMap<&'static str, Value>;

/// The schema of a filter's document, as text.
#[must_use]
pub fn document(filter: &str, table: &Table) -> String {
    let mut tables = Tables::new();
    let mut schema = object(table, &mut tables);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!("Configuration of tidegate-{filter}.wasm"));
    schema["properties"]["$schema"] =
        json!({"type": "string", "description": "For editors; the filter does not look at it."});
    schema["$defs"] = tables.into_iter().map(|(id, schema)| (id.to_owned(), schema)).collect();
    format!("{schema:#}\n")
}

fn object(table: &Table, tables: &mut Tables) -> Value {
    let properties: Map<String, Value> =
        table.fields.iter().map(|def| (def.name.to_owned(), field(def, tables))).collect();
    let required = table.fields.iter().filter(|def| matches!(def.absent, Absent::Required));
    let required: Vec<&str> = required.map(|def| def.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let groups: Vec<Value> = table.groups.iter().flat_map(group).collect();
    if !groups.is_empty() {
        schema["allOf"] = json!(groups);
    }
    if table.words.is_empty() {
        schema
    } else {
        json!({"anyOf": [{"enum": table.words}, schema]})
    }
}

/// What holds for fields that exclude each other, or of which one must be there.
fn group(group: &Group) -> Vec<Value> {
    let given = |names: &[&str]| {
        let there: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({"not": {"type": "null"}}))).collect();
        json!({"required": names, "properties": there})
    };
    let mut rules = Vec::new();
    if group.required {
        let one: Vec<Value> = group.fields.iter().map(|name| given(&[name])).collect();
        rules.push(json!({"anyOf": one}));
    }
    if group.exclusive {
        for (index, one) in group.fields.iter().enumerate() {
            let others = group.fields.iter().skip(index + 1);
            rules.extend(others.map(|other| json!({"not": given(&[one, other])})));
        }
    }
    rules
}

fn field(def: &Def, tables: &mut Tables) -> Value {
    let mut schema = kind(&def.kind, tables);
    if !matches!(def.absent, Absent::Required | Absent::Nothing) || !matches!(def.absent, Absent::Required) {
        schema = or_null(schema);
    }
    let unit = match &def.kind {
        Kind::Duration { .. } => "ms",
        Kind::Integer { unit, .. } => unit,
        _ => "",
    };
    let unit =
        if unit.is_empty() { String::new() } else { format!(" In {unit}.").replace("In %", "In percent") };
    let absent = match def.absent_says {
        "" => String::new(),
        says => format!(" By default: {}.", plain(says)),
    };
    let says = format!("{}{unit}{absent}", plain(def.says));
    if !says.is_empty() {
        schema["description"] = json!(says.trim());
    }
    if let Absent::Usual(value) = def.absent {
        schema["default"] = literal(value);
    }
    schema
}

fn kind(kind: &Kind, tables: &mut Tables) -> Value {
    match kind {
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Duration { least, most } => json!({"anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": DURATION},
        ]}),
        Kind::Either(one, other) => either(self::kind(one, tables), self::kind(other, tables)),
        Kind::Integer { least, most, .. } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::List { of, least, most, .. } => {
            let item = self::kind(of, tables);
            let list = json!({"type": "array", "items": item, "minItems": least, "maxItems": most});
            either(list, item)
        }
        Kind::Map(names) => json!({
            "type": "object",
            "propertyNames": text(&names.names),
            "additionalProperties": self::kind(&names.of, tables),
            "minProperties": names.least,
            "maxProperties": names.most,
        }),
        Kind::Never(misfit) => {
            let says = format!("{}: use {}.", misfit.found, plain(misfit.expected));
            json!({"type": "null", "description": says})
        }
        Kind::Object(table) | Kind::Part(table) => {
            if !tables.contains_key(table.id) {
                // Its place is taken first, so that a table that has itself does not go on for ever.
                tables.insert(table.id, Value::Null);
                let schema = object(table, tables);
                tables.insert(table.id, schema);
            }
            json!({"$ref": format!("#/$defs/{}", table.id)})
        }
        Kind::Text(rule) => text(rule),
    }
}

fn text(rule: &Text) -> Value {
    let mut schema = json!({"type": "string", "minLength": rule.least, "maxLength": rule.most});
    if !rule.form.pattern.is_empty() {
        schema["pattern"] = json!(rule.form.pattern);
    }
    schema
}

fn either(one: Value, other: Value) -> Value {
    let mut all = Vec::new();
    for schema in [one, other] {
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(parts) => all.extend(parts.iter().cloned()),
            None => all.push(schema),
        }
    }
    json!({"anyOf": all})
}

/// `null` is the same as leaving a field out.
fn or_null(mut schema: Value) -> Value {
    if let Some(Value::String(kind)) = schema.get("type") {
        schema["type"] = if kind == "null" { json!("null") } else { json!([kind, "null"]) };
    } else if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    } else {
        schema = either(schema, json!({"type": "null"}));
    }
    schema
}

fn literal(value: Literal) -> Value {
    match value {
        Literal::Boolean(value) => json!(value),
        Literal::List(values) => values.iter().map(|value| literal(*value)).collect(),
        Literal::Number(number) => json!(number),
        Literal::Text(text) => json!(text),
    }
}

/// A sentence without links and code marks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (kept, linked) = before.rsplit_once('[').unwrap_or(("", before));
        plain.push_str(kept);
        plain.push_str(linked);
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    plain
}
