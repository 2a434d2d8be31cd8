//! What somebody may have meant who named a module that there is not.

/// How alike two names must be for one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Most names that are told where none is alike.
const TOLD: usize = 10;

/// A hint, to be put behind what the gateway says.
pub(super) fn hint(name: &str, known: &[String]) -> String {
    let likeness = |other: &String| strsim::jaro_winkler(&name.to_lowercase(), other);
    let alike = known.iter().map(|other| (likeness(other), other));
    let nearest = alike
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, nearest)) = nearest {
        return format!("; did you mean `{nearest}`?");
    }
    let more = match known.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let told: Vec<_> = known.iter().take(TOLD).map(String::as_str).collect();
    match told.as_slice() {
        [] => String::new(),
        told => format!("; there are {}{more}", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_else_the_names_are_told_but_not_all_of_thousands() {
        let known: Vec<_> = ["commission", "notices"].map(str::to_owned).into();
        assert_eq!(hint("commision", &known), "; did you mean `commission`?");
        assert_eq!(hint("zzz", &known), "; there are commission, notices");
        let many: Vec<_> = (0..1_000).map(|n| format!("m{n}")).collect();
        let told = hint("zzz", &many);
        assert!(told.ends_with("m9 and 990 more"), "{told}");
        assert_eq!(hint("zzz", &[]), "");
    }
}
