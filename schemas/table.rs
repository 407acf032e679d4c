//! What a table is, and the macro that makes a table, its rows and its columns from one list.

/// The type of a column. Readers fail on unsigned integers and half floats, so there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer, for keys.
    Int64,
    /// 32-bit float.
    Float32,
    /// UTF-8 text.
    Utf8,
    /// True or false.
    Boolean,
}

/// How a column is encoded in Parquet before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A dictionary of values, then run lengths: best for columns that repeat.
    Dictionary,
    /// Plain values: best for numbers that do not come twice.
    Plain,
    /// Differences between neighbors, packed: best for a column that rows are sorted by and that is always another.
    Delta,
    /// The bytes of a float stored plane by plane: best for activations.
    ByteStreamSplit,
}

/// A column of a table's files.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it holds, with its unit.
    pub about: &'static str,
}

/// A column that is the name of a folder and not stored in the files.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    /// Its name; always an Int32.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
}

/// A table: a folder of Parquet files and a Delta log.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, which is the name of its folder.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// The folders between the table and its files, outermost first.
    pub partition: &'static [Partition],
    /// The columns that rows of a file are sorted by. Together they name a row: no two rows agree in all.
    pub sort: &'static [&'static str],
    /// The columns of its files, in order.
    pub columns: &'static [Column],
}

impl Table {
    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Int32.
    Int32(Vec<i32>),
    /// Int32 or missing.
    MaybeInt32(Vec<Option<i32>>),
    /// Int64.
    Int64(Vec<i64>),
    /// Float32.
    Float32(Vec<f32>),
    /// Float32 or missing.
    MaybeFloat32(Vec<Option<f32>>),
    /// Text.
    Utf8(Vec<String>),
    /// Text or missing.
    MaybeUtf8(Vec<Option<String>>),
    /// Booleans or missing.
    MaybeBoolean(Vec<Option<bool>>),
    /// Booleans.
    Boolean(Vec<bool>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int32(cells) => cells.len(),
            Self::MaybeInt32(cells) => cells.len(),
            Self::Int64(cells) => cells.len(),
            Self::Float32(cells) => cells.len(),
            Self::MaybeFloat32(cells) => cells.len(),
            Self::Utf8(cells) => cells.len(),
            Self::MaybeUtf8(cells) => cells.len(),
            Self::MaybeBoolean(cells) => cells.len(),
            Self::Boolean(cells) => cells.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The columns of some rows differ in length, which would shear rows apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uneven {
    /// The table.
    pub table: &'static str,
    /// Every column with its length.
    pub lengths: Vec<(&'static str, usize)>,
}

impl std::fmt::Display for Uneven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "columns of `{}` differ in length: {:?}", self.table, self.lengths)
    }
}

impl std::error::Error for Uneven {}

/// A Rust type that a column can hold.
pub(crate) trait Cell: Sized {
    const TYPE: Type;
    const NULLABLE: bool;
    fn values(cells: Vec<Self>) -> Values;
    fn cells(values: Values) -> Option<Vec<Self>>;
}

macro_rules! cells {
    ($($rust:ty => $ty:ident, $nullable:literal, $values:ident;)*) => {$(
        impl Cell for $rust {
            const TYPE: Type = Type::$ty;
            const NULLABLE: bool = $nullable;
            fn values(cells: Vec<Self>) -> Values {
                Values::$values(cells)
            }
            fn cells(values: Values) -> Option<Vec<Self>> {
                if let Values::$values(cells) = values { Some(cells) } else { None }
            }
        }
    )*};
}

cells! {
    i32 => Int32, false, Int32;
    Option<i32> => Int32, true, MaybeInt32;
    i64 => Int64, false, Int64;
    f32 => Float32, false, Float32;
    Option<f32> => Float32, true, MaybeFloat32;
    String => Utf8, false, Utf8;
    Option<String> => Utf8, true, MaybeUtf8;
    bool => Boolean, false, Boolean;
    Option<bool> => Boolean, true, MaybeBoolean;
}

/// Makes a module with a table's `TABLE`, its `Row` and its `Rows` (one vector a column).
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $name:ident
        partition [$($partition:ident: $partition_about:literal),*]
        sort [$($sort:ident),*]
        { $($column:ident: $ty:ty, $encoding:ident, $column_about:literal;)* }
    ) => {
        $(#[doc = $about])*
        pub mod $name {
            use crate::table::{Cell, Column, Encoding, Table, Uneven, Values};

            /// The table's description.
            pub const TABLE: Table = Table {
                name: stringify!($name),
                about: concat!($($about),*).trim_ascii(),
                partition: &[$(crate::table::Partition { name: stringify!($partition), about: $partition_about }),*],
                sort: &[$(stringify!($sort)),*],
                columns: &[$(Column {
                    name: stringify!($column),
                    ty: <$ty as Cell>::TYPE,
                    nullable: <$ty as Cell>::NULLABLE,
                    encoding: Encoding::$encoding,
                    about: $column_about,
                }),*],
            };

            /// One row of the table.
            #[derive(Clone, Debug, PartialEq)]
            pub struct Row {
                $(#[doc = $column_about] pub $column: $ty,)*
            }

            /// Rows of the table, one vector a column.
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct Rows {
                $(#[doc = $column_about] pub $column: Vec<$ty>,)*
            }

            impl Rows {
                /// Adds a row at the end.
                pub fn push(&mut self, row: Row) {
                    $(self.$column.push(row.$column);)*
                }

                /// Adds the rows of `other` at the end.
                pub fn append(&mut self, other: Self) {
                    if self.is_empty() {
                        *self = other;
                        return;
                    }
                    $(self.$column.extend(other.$column);)*
                }

                /// Keeps the rows of which `keep` says so, in their order.
                pub fn retain(&mut self, keep: &[bool]) {
                    $({
                        let mut keep = keep.iter();
                        self.$column.retain(|_| keep.next().copied().unwrap_or(false));
                    })*
                }

                /// How many rows there are.
                #[must_use]
                pub fn len(&self) -> usize {
                    self.columns_len()[0]
                }

                /// Whether there are none.
                #[must_use]
                pub fn is_empty(&self) -> bool {
                    self.len() == 0
                }

                fn columns_len(&self) -> [usize; TABLE.columns.len()] {
                    [$(self.$column.len()),*]
                }

                /// The values of every column, in the order of the table.
                ///
                /// # Errors
                /// If the columns differ in length.
                pub fn try_into_values(self) -> Result<Vec<Values>, Uneven> {
                    let lengths = self.columns_len();
                    if lengths.iter().any(|length| *length != lengths[0]) {
                        let names = TABLE.columns.iter().map(|column| column.name);
                        return Err(Uneven { table: TABLE.name, lengths: names.zip(lengths).collect() });
                    }
                    Ok(vec![$(<$ty as Cell>::values(self.$column)),*])
                }

                /// The values of every column, in the order of the table.
                ///
                /// # Panics
                /// If the columns differ in length, which would shear rows apart.
                #[must_use]
                pub fn into_values(self) -> Vec<Values> {
                    self.try_into_values().unwrap_or_else(|uneven| panic!("{uneven}"))
                }

                /// The rows whose columns, in the order of the table, are `values`; none if a column
                /// is missing or of another type.
                #[must_use]
                pub fn from_values(values: Vec<Values>) -> Option<Self> {
                    let mut values = values.into_iter();
                    let rows = Self { $($column: <$ty as Cell>::cells(values.next()?)?,)* };
                    values.next().is_none().then_some(rows)
                }

                /// The rows one by one, as far as the shortest column goes.
                #[must_use]
                pub fn into_rows(self) -> Vec<Row> {
                    $(let mut $column = self.$column.into_iter();)*
                    let next = || Some(Row { $($column: $column.next()?,)* });
                    std::iter::from_fn(next).collect()
                }
            }

            impl FromIterator<Row> for Rows {
                fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
                    let mut all = Self::default();
                    rows.into_iter().for_each(|row| all.push(row));
                    all
                }
            }
        }
    };
}

pub(crate) use table;
