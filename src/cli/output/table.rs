//! Tables: columns as wide as their widest cell, numbers to the right.

use std::fmt;

use serde_json::Value;

/// A table of JSON cells, so that the same rows can be printed both ways.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn new(columns: impl Into<Vec<&'static str>>) -> Table {
        Table {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// One cell per column.
    pub fn row(&mut self, cells: impl Into<Vec<Value>>) {
        let mut cells = cells.into();
        cells.resize(self.columns.len(), Value::Null);
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// An array of objects, keyed by the columns' names.
    pub fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let cells = self.columns.iter().zip(row);
            Value::Object(cells.map(|(column, cell)| (key(column), cell.clone())).collect())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }
}

/// `LEADER EPOCH` is `leader_epoch` in JSON.
fn key(column: &str) -> String {
    column.to_lowercase().replace([' ', '-'], "_")
}

fn text(cell: &Value) -> String {
    match cell {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(cells) if cells.is_empty() => "-".to_owned(),
        Value::Array(cells) => cells.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(text).collect())
            .collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = rows.iter().filter_map(|row| row.get(at));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(column.len())
            })
            .collect();
        let is_number: Vec<bool> = (0..self.columns.len())
            .map(|at| {
                let mut cells = self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(at))
                    .filter(|cell| !cell.is_null())
                    .peekable();
                cells.peek().is_some() && cells.all(Value::is_number)
            })
            .collect();
        let line = |cells: Vec<&str>| -> String {
            let mut line = String::new();
            for ((cell, width), is_number) in cells.into_iter().zip(&widths).zip(&is_number) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                match is_number {
                    true => line.push_str(&format!("{cell:>width$}")),
                    false => line.push_str(&format!("{cell:<width$}")),
                }
            }
            line.trim_end().to_owned()
        };
        f.write_str(&line(self.columns.clone()))?;
        for row in &rows {
            write!(f, "\n{}", line(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_align_and_json_has_the_same_rows() {
        let mut table = Table::new(["TOPIC", "END OFFSET", "ISR"]);
        table.row([json!("a-long-name"), json!(5), json!([1, 2])]);
        table.row([json!("b"), json!(12345), json!([])]);
        assert_eq!(
            table.to_string(),
            "TOPIC        END OFFSET  ISR\n\
             a-long-name           5  1,2\n\
             b                 12345  -"
        );
        let json = json!([
            {"topic": "a-long-name", "end_offset": 5, "isr": [1, 2]},
            {"topic": "b", "end_offset": 12345, "isr": []},
        ]);
        assert_eq!(table.to_json(), json);
        assert_eq!(Table::new(["A"]).to_string(), "A");
    }
}
