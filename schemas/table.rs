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
    /// Plain values: best for feature ids sorted inside a position.
    Plain,
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
    /// The columns that rows of a file are sorted by.
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

/// A Rust type that a column can hold.
pub(crate) trait Cell: Sized {
    const TYPE: Type;
    const NULLABLE: bool;
    fn values(cells: Vec<Self>) -> Values;
}

macro_rules! cells {
    ($($rust:ty => $ty:ident, $nullable:literal, $values:ident;)*) => {$(
        impl Cell for $rust {
            const TYPE: Type = Type::$ty;
            const NULLABLE: bool = $nullable;
            fn values(cells: Vec<Self>) -> Values {
                Values::$values(cells)
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
            use crate::table::{Cell, Column, Encoding, Table, Values};

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
                    $(self.$column.extend(other.$column);)*
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
                /// # Panics
                /// If the columns differ in length, which would shear rows apart.
                #[must_use]
                pub fn into_values(self) -> Vec<Values> {
                    let lengths = self.columns_len();
                    assert!(
                        lengths.iter().all(|length| *length == lengths[0]),
                        "columns of `{}` differ in length: {lengths:?}", TABLE.name,
                    );
                    vec![$(<$ty as Cell>::values(self.$column)),*]
                }
            }
        }
    };
}

pub(crate) use table;
