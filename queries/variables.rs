//! The variables that tell the SQL of a question what it is asked about.

use std::fmt;

/// The value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// True or false.
    Flag(bool),
}

impl From<i32> for Variable {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for Variable {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Variable {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<String> for Variable {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<bool> for Variable {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl fmt::Display for Variable {
    /// As an SQL literal; quotes in text are doubled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{}", quoted(value)),
            Self::Flag(value) => write!(f, "{value}"),
        }
    }
}

/// Variables by name, in the order in which they were set. One that is not set is NULL in SQL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables(Vec<(&'static str, Variable)>);

impl Variables {
    /// Sets a variable, unless there is no value.
    pub fn set(&mut self, name: &'static str, value: Option<impl Into<Variable>>) -> &mut Self {
        if let Some(value) = value {
            self.0.retain(|(known, _)| *known != name);
            self.0.push((name, value.into()));
        }
        self
    }

    /// Sets all of `others`.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.set(name, Some(value));
        }
        self
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Variable)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

impl fmt::Display for Variables {
    /// The `SET VARIABLE` lines of DuckDB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(name, value)| writeln!(f, "SET VARIABLE \"{name}\" = {value};"))
    }
}

/// Text as an SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
