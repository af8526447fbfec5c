//! The rows of a Parquet file, in which most data sets are shipped.

use std::fs::File;
use std::io;

use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use serde_json::{Map, Value};

/// The rows, as objects of their columns.
pub(crate) struct Rows(RowIter<'static>);

impl Rows {
    /// # Errors
    /// A file that is not complete.
    pub fn open(file: File) -> io::Result<Self> {
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        Ok(Self(RowIter::from_file_into(Box::new(reader))))
    }
}

impl Iterator for Rows {
    type Item = io::Result<Map<String, Value>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(failed);
        Some(row.map(|row| match row.to_json_value() {
            Value::Object(fields) => fields,
            other => unreachable!("a row is an object of its columns, not {other}"),
        }))
    }
}

fn failed(error: ParquetError) -> io::Error {
    let reason = error.to_string();
    match reason.split_once("feature at compile time: ") {
        Some((_, codec)) => io::Error::other(format!(
            "its columns are compressed with {codec}\nhint: write it with snappy or gzip"
        )),
        None => io::Error::other(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use serde_json::json;

    use super::*;

    /// Two rows with a text that may be absent, and a number.
    fn table() -> File {
        let schema = "message rows { required binary output (UTF8);
            optional binary judgment (UTF8); required double score; }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = tempfile::tempfile().expect("a file");
        let copy = file.try_clone().expect("the same file");
        let mut writer =
            SerializedFileWriter::new(copy, schema, Arc::new(properties)).expect("new");
        let mut group = writer.next_row_group().expect("a group");
        let texts: [(&[&str], Option<&[i16]>); 2] =
            [(&["a", "b"], None), (&["Wrong."], Some(&[1, 0]))];
        for (texts, levels) in texts {
            let texts: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
            let mut column = group.next_column().expect("a column").expect("there is one");
            let written = column.typed::<ByteArrayType>().write_batch(&texts, levels, None);
            assert_eq!(written.expect("writes"), texts.len());
            column.close().expect("closes");
        }
        let mut column = group.next_column().expect("a column").expect("there is one");
        column.typed::<DoubleType>().write_batch(&[0.5, 1.0], None, None).expect("writes");
        column.close().expect("closes");
        group.close().expect("closes");
        writer.close().expect("closes");
        file
    }

    #[test]
    fn rows_are_objects_of_their_columns() {
        let rows: Vec<Value> = Rows::open(table())
            .expect("opens")
            .map(|row| Value::Object(row.expect("reads")))
            .collect();
        let expected = [
            json!({"output": "a", "judgment": "Wrong.", "score": 0.5}),
            json!({"output": "b", "judgment": null, "score": 1.0}),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let file = table();
        file.set_len(60).expect("shortens");
        assert!(Rows::open(file).is_err());
    }
}
