//! Which games a question is asked about: conditions on the columns of `games`, such as `outcome=bankruptcy`.

use polars::prelude::{AnyValue, Column, DataType, Expr, Field, PlSmallStr, Series, col, lit};
use schemas::Type;

use crate::{QueryError, nearest::nearest, variables::quoted};

/// Conditions that a game must meet, all of them. None is met by every game.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition(Vec<Term>);

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    subject: Subject,
    operator: Operator,
    value: Value,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
enum Subject {
    Column(&'static str),
    /// A key of the JSON object in `metadata`, compared as text.
    Metadata(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Integer(i64),
    /// The word `missing`.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// Longer ones first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

/// What stands for a missing value.
const MISSING: &str = "missing";

impl Condition {
    /// Reads terms of the form COLUMN OPERATOR VALUE. A column is one of `games`, or `metadata.KEY`; operators
    /// are `=`, `!=`, `<`, `<=`, `>`, `>=`, and `~` for "contains"; the value `missing` stands for none.
    /// A game whose value is missing meets none but `=missing`, as in SQL.
    ///
    /// # Errors
    /// [`QueryError::NotACondition`], [`QueryError::UnknownColumn`] with the nearest names.
    pub fn parse<'a>(terms: impl IntoIterator<Item = &'a str>) -> Result<Self, QueryError> {
        Ok(Self(terms.into_iter().map(Term::parse).collect::<Result<Vec<_>, _>>()?))
    }

    /// Both conditions.
    pub(crate) fn and(&self, other: Self) -> Self {
        Self(self.0.iter().cloned().chain(other.0).collect::<Vec<_>>())
    }

    /// The condition as a filter of `games`; nothing if every game meets it.
    pub(crate) fn expression(&self) -> Option<Expr> {
        self.0.iter().map(Term::expression).reduce(Expr::and)
    }

    /// The condition in SQL; nothing if every game meets it.
    pub fn sql(&self) -> Option<String> {
        let terms = self.0.iter().map(Term::sql).collect::<Vec<_>>();
        (!terms.is_empty()).then(|| terms.join(" AND "))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, QueryError> {
        let wrong =
            |reason: &str| QueryError::NotACondition { text: text.to_owned(), reason: reason.to_owned() };
        let at = text.find(['=', '!', '<', '>', '~']).ok_or_else(|| wrong("it has no operator"))?;
        let (name, rest) = text.split_at(at);
        let found = OPERATORS.iter().find_map(|(sign, operator)| Some((rest.strip_prefix(sign)?, *operator)));
        let (value, operator) = found.ok_or_else(|| wrong("`!` is followed by `=`"))?;
        let (subject, ty) = subject(name.trim())?;
        let value = match (value.trim(), ty) {
            (MISSING, _) if matches!(operator, Operator::Equal | Operator::NotEqual) => Value::Missing,
            (text, Type::Utf8) => Value::Text(text.to_owned()),
            (_, _) if operator == Operator::Contains => return Err(wrong("`~` is for text")),
            (number, _) => Value::Integer(number.parse().map_err(|_| wrong("its value is no whole number"))?),
        };
        Ok(Self { subject, operator, value })
    }

    fn expression(&self) -> Expr {
        let subject = match &self.subject {
            Subject::Column(name) => col(*name),
            Subject::Metadata(key) => texts(col("metadata"), DataType::String, {
                let key = key.clone();
                move |text| member(text?, &key).map(AnyValue::StringOwned)
            }),
        };
        let value = match &self.value {
            Value::Missing if self.operator == Operator::Equal => return subject.is_null(),
            Value::Missing => return subject.is_not_null(),
            Value::Text(part) if self.operator == Operator::Contains => {
                let part = part.clone();
                let holds = move |text: Option<&str>| Some(AnyValue::Boolean(text?.contains(&part)));
                return texts(subject, DataType::Boolean, holds);
            }
            Value::Text(text) => lit(text.clone()),
            Value::Integer(number) => lit(*number),
        };
        match self.operator {
            Operator::Equal | Operator::Contains => subject.eq(value),
            Operator::NotEqual => subject.neq(value),
            Operator::Less => subject.lt(value),
            Operator::LessOrEqual => subject.lt_eq(value),
            Operator::Greater => subject.gt(value),
            Operator::GreaterOrEqual => subject.gt_eq(value),
        }
    }

    fn sql(&self) -> String {
        let subject = match &self.subject {
            Subject::Column(name) => format!("\"{name}\""),
            Subject::Metadata(key) => format!("json_extract_string(metadata, {})", quoted(&json_path(key))),
        };
        let sign =
            OPERATORS.iter().find(|(_, operator)| *operator == self.operator).map_or("=", |(sign, _)| sign);
        match &self.value {
            Value::Missing if self.operator == Operator::Equal => format!("{subject} IS NULL"),
            Value::Missing => format!("{subject} IS NOT NULL"),
            Value::Text(text) if self.operator == Operator::Contains => {
                format!("contains({subject}, {})", quoted(text))
            }
            Value::Text(text) => format!("{subject} {sign} {}", quoted(text)),
            Value::Integer(number) => format!("{subject} {sign} {number}"),
        }
    }
}

fn subject(name: &str) -> Result<(Subject, Type), QueryError> {
    if let Some(key) = name.strip_prefix("metadata.") {
        return Ok((Subject::Metadata(key.to_owned()), Type::Utf8));
    }
    let games = &schemas::games::TABLE;
    match games.column(name) {
        Some(column) => Ok((Subject::Column(column.name), column.ty)),
        None => Err(QueryError::UnknownColumn {
            name: name.to_owned(),
            nearest: nearest(name, games.columns.iter().map(|column| column.name)),
        }),
    }
}

/// The place of a key in a JSON object; quoted, so that dots in it are no path.
fn json_path(key: &str) -> String {
    format!("$.\"{}\"", key.replace('"', "\\\""))
}

/// What a JSON object holds under a key, as text: strings as they are, the rest as JSON, null as missing.
fn member(object: &str, key: &str) -> Option<PlSmallStr> {
    let object = serde_json::from_str::<serde_json::Value>(object).ok()?;
    match object.get(key)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.as_str().into()),
        other => Some(other.to_string().into()),
    }
}

/// Maps every value of a text column. polars' own functions for text bring its calendar along.
fn texts(
    column: Expr,
    to: DataType,
    function: impl Fn(Option<&str>) -> Option<AnyValue<'static>> + Send + Sync + 'static,
) -> Expr {
    let ty = to.clone();
    let map = move |column: Column| {
        let values = column.str()?.iter().map(|text| function(text).unwrap_or(AnyValue::Null));
        let values = values.collect::<Vec<_>>();
        Series::from_any_values_and_dtype(column.name().clone(), &values, &ty, true).map(Column::from)
    };
    column.map(map, move |_, field| Ok(Field::new(field.name().clone(), to.clone())))
}
