//! JSON with places.

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{parse_to_ast, CollectOptions, CommentCollectionStrategy, ParseOptions};

use super::{Key, Node, Syntax, Value};

/// No filter takes more than JSON.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads a document.
///
/// # Errors
/// It is not JSON.
pub fn parse(text: &str) -> Result<Node, Syntax> {
    // The parser of the filters says what it is that is wrong.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = (line + error.column().saturating_sub(1)).min(text.len());
        return Err(Syntax { says: error.to_string(), at });
    }
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    match parse_to_ast(text, &collect, &STRICT) {
        Ok(parsed) => match parsed.value {
            Some(value) => Ok(node(&value)),
            None => Err(Syntax { says: "empty".to_owned(), at: 0 }),
        },
        Err(error) => Err(Syntax { says: error.kind().to_string(), at: error.range().start }),
    }
}

fn node(value: &ast::Value<'_>) -> Node {
    let range = value.range();
    let value = match value {
        ast::Value::Array(array) => Value::List(array.elements.iter().map(node).collect()),
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::NumberLit(literal) => Value::Number(literal.value.to_owned()),
        ast::Value::Object(object) => Value::Map(object.properties.iter().map(field).collect()),
        ast::Value::StringLit(literal) => Value::Text(literal.value.to_string()),
    };
    Node { span: range.start..range.end, value }
}

fn field(property: &ast::ObjectProp<'_>) -> (Key, Node) {
    let range = property.name.range();
    let key = Key { text: property.name.as_str().to_owned(), span: range.start..range.end };
    (key, node(&property.value))
}
