//! Answers that group what they say of partitions by topic.

/// Collects neighbours of the same topic: as many topics, in the order in which they come, as a request named.
pub fn by_topic<T>(results: impl IntoIterator<Item = (String, T)>) -> impl Iterator<Item = (String, Vec<T>)> {
    let mut topics: Vec<(String, Vec<T>)> = Vec::new();
    for (topic, result) in results {
        match topics.last_mut() {
            Some((last, results)) if *last == topic => results.push(result),
            _ => topics.push((topic, vec![result])),
        }
    }
    topics.into_iter()
}

#[cfg(test)]
mod tests {
    use super::by_topic;

    /// Breaks in production: a client does not find the result of its partition under its topic.
    #[test]
    fn neighbours_of_a_topic_share_its_entry() {
        let results = [("a", 0), ("a", 1), ("b", 0)].map(|(topic, index)| (topic.to_owned(), index));
        let grouped: Vec<_> = by_topic(results).collect();
        assert_eq!(grouped, [("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![0])]);
    }
}
