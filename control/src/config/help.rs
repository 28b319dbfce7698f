//! The command line's words about properties.

use super::property::{Applies, Owner, Property};
use super::table;

/// The sentence about a flag of `ringlog serve`, from the property that it sets.
pub fn flag_help(flag: &str) -> Option<String> {
    let row = table::rows(Owner::Broker).find(|row| row.flag == Some(flag))?;
    let default = row
        .default
        .map_or_else(String::new, |default| format!(" [default: {default}]"));
    Some(format!("{}{default} (property {})", row.documentation, row.name))
}

/// All broker properties that do something, with default and meaning: what `--set` takes.
pub fn help() -> String {
    let mut text = String::new();
    for section in table::sections()
        .iter()
        .filter(|section| section.owner == Owner::Broker)
    {
        let rows: Vec<&Property> = section
            .rows
            .iter()
            .filter(|row| row.applies == Applies::Yes)
            .collect();
        if rows.is_empty() {
            continue;
        }
        text.push_str(&format!("{}\n", section.title));
        for row in rows {
            let default = row.default.unwrap_or("unset");
            text.push_str(&format!(
                "  {}={default}  ({})\n      {}\n",
                row.name,
                row.allowed(),
                row.documentation
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_speaks_of_flags_and_properties() {
        let flag = flag_help("--node-id").unwrap();
        assert!(
            flag.contains("[default: 1]") && flag.contains("node.id"),
            "{flag}"
        );
        assert_eq!(flag_help("--nonsense"), None);
        let all = help();
        assert!(all.contains("  num.partitions=1  (int [1,...])"));
        assert!(
            !all.contains("num.io.threads"),
            "what does nothing is left to docs/CONFIG.md"
        );
    }
}
