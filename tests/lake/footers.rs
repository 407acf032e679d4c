//! What the Parquet files and the Delta logs say of themselves.

use std::fs::{self, File};
use std::path::Path;

use parquet::basic::{Compression, Encoding as ParquetEncoding, PageType};
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData, SortingColumn,
};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use saelake::lake::{Lake, ROWS_PER_GROUP, ROWS_PER_PAGE};
use schemas::{Encoding, Table, features};
use serde_json::Value;

use super::folder;
use super::synthetic::{SMALL, Shape, first_batch};

/// Long enough for a second row group of features.
const LONG: Shape = Shape { steps: 4, tokens: 440, layers: &[8], top_k: 64, heads: 1, keys: 4 };

#[test]
fn files_are_encoded_indexed_and_sorted_as_the_tables_say() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[1, 2], LONG)).unwrap();
    for table in schemas::ALL {
        for file in lake.files(table).unwrap() {
            let path = folder.path().join(table.name).join(&file.path);
            let footer = footer(&path);
            check_footer(table, &footer);
            if table.name == features::TABLE.name {
                let rows: Vec<i64> = footer.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
                assert_eq!(rows[0], ROWS_PER_GROUP as i64);
                assert!(rows.len() > 1);
                check_pages(&path, &footer);
            }
        }
    }
}

fn footer(path: &Path) -> ParquetMetaData {
    let file = File::open(path).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.parse_and_finish(&file).unwrap()
}

fn check_footer(table: &Table, footer: &ParquetMetaData) {
    let sorting: Vec<SortingColumn> = table
        .sort
        .iter()
        .map(|name| table.columns.iter().position(|column| column.name == *name).unwrap() as i32)
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
        .collect();
    for (index, group) in footer.row_groups().iter().enumerate() {
        assert_eq!(group.sorting_columns(), Some(&sorting), "{}", table.name);
        assert!(group.num_rows() <= ROWS_PER_GROUP as i64);
        for (place, (column, chunk)) in table.columns.iter().zip(group.columns()).enumerate() {
            let name = format!("{}.{}", table.name, column.name);
            assert_eq!(chunk.column_path().string(), column.name);
            assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{name}");
            let encodings: Vec<ParquetEncoding> = chunk.encodings().collect();
            let (expected, has_dictionary) = match column.encoding {
                Encoding::Dictionary => (ParquetEncoding::RLE_DICTIONARY, true),
                Encoding::Plain => (ParquetEncoding::PLAIN, false),
                Encoding::Delta => (ParquetEncoding::DELTA_BINARY_PACKED, false),
                Encoding::ByteStreamSplit => (ParquetEncoding::BYTE_STREAM_SPLIT, false),
            };
            // Parquet has no dictionary of booleans.
            if column.ty != schemas::Type::Boolean {
                assert!(encodings.contains(&expected), "{name}: {encodings:?}");
                assert_eq!(chunk.dictionary_page_offset().is_some(), has_dictionary, "{name}");
            }
            let statistics = chunk.statistics().unwrap_or_else(|| panic!("{name} has no statistics"));
            let nulls = statistics.null_count_opt().unwrap();
            assert!(nulls == 0 || column.nullable, "{name}");
            assert_eq!(statistics.min_bytes_opt().is_none(), nulls == group.num_rows() as u64, "{name}");
            let pages = footer.offset_index().unwrap()[index][place].page_locations();
            assert!(!pages.is_empty() && footer.column_index().is_some(), "{name}");
        }
    }
    let about = footer.file_metadata().key_value_metadata().unwrap();
    let named: Vec<(&str, Option<&str>)> =
        about.iter().map(|pair| (pair.key.as_str(), pair.value.as_deref())).collect();
    assert_eq!(named, [("saelake.table", Some(table.name)), ("saelake.format_version", Some("2"))]);
}

/// Pages are as small as promised: the index says so, and so do the pages.
fn check_pages(path: &Path, footer: &ParquetMetaData) {
    let pages = footer.offset_index().unwrap()[0][3].page_locations();
    assert_eq!(pages.len(), ROWS_PER_GROUP / ROWS_PER_PAGE);
    assert_eq!(pages[1].first_row_index, ROWS_PER_PAGE as i64);
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let pages = reader.get_row_group(0).unwrap().get_column_page_reader(4).unwrap();
    let mut values = 0;
    for page in pages.map(Result::unwrap) {
        assert_eq!(
            (page.page_type(), page.encoding()),
            (PageType::DATA_PAGE, ParquetEncoding::BYTE_STREAM_SPLIT)
        );
        values += page.num_values();
    }
    assert_eq!(values as usize, ROWS_PER_GROUP);
}

/// The log carries row counts and bounds, so that a reader can leave a file out without opening it.
#[test]
fn logs_carry_statistics_and_partitions() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[-4, 9], SMALL)).unwrap();
    let entry = folder.path().join("features/_delta_log/00000000000000000001.json");
    let adds: Vec<Value> = fs::read_to_string(entry)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap().get("add").cloned())
        .collect();
    assert_eq!(adds.len(), 3);
    for add in adds {
        let layer = add["partitionValues"]["layer"].as_str().unwrap();
        assert_eq!(add["partitionValues"]["game_block"], "0");
        assert!(add["path"].as_str().unwrap().starts_with(&format!("game_block=0/layer={layer}/part-")));
        let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        // Two games of steps with 12 and 15 tokens, six features at each.
        assert_eq!(stats["numRecords"], 2 * (12 + 15) * 6);
        assert_eq!((&stats["minValues"]["game"], &stats["maxValues"]["game"]), (&(-4).into(), &9.into()));
        assert_eq!(
            (&stats["minValues"]["position"], &stats["maxValues"]["position"]),
            (&0.into(), &14.into())
        );
        assert_eq!((&stats["minValues"]["rank"], &stats["maxValues"]["rank"]), (&0.into(), &5.into()));
        assert!(stats["minValues"]["activation"].as_f64().unwrap() > 0.0);
        assert_eq!(stats["nullCount"]["activation"], 0);
    }
}
