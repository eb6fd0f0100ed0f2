//! Policy: the figures of a whole rebalancing policy as text: what it loses, and what it moves.

use packevolve_contract::policy::PolicyScore;
use packevolve_contract::serving::Lost;

use crate::values::figure::score;
use crate::view::format::{milliseconds, or_none, percent, signed};
use crate::view::table::Table;
use crate::view::terminal::Terminal;

/// Bytes of a gigabyte.
const GB: f64 = 1e9;

/// What is lost a window by the program and by DeepSeek's planner in the time of `against`, in parts, and what can be won.
pub fn lost_text(policy: &PolicyScore, against: &str, terminal: &Terminal) -> String {
    let throughput = |seconds: f64| percent(policy.prices.share_of_throughput(seconds));
    let row = |name: &str, part: fn(&Lost) -> f64| {
        let [ours, theirs] = [&policy.lost, &policy.baseline_lost].map(part);
        vec![name.to_owned(), seconds(ours), throughput(ours), seconds(theirs), throughput(theirs)]
    };
    let floor = vec!["floor".to_owned(), seconds(policy.floor_seconds), throughput(policy.floor_seconds)];
    let rows = vec![
        row("imbalance served", |lost| lost.imbalance),
        row("transfer", |lost| lost.transfer),
        row("planning", |lost| lost.planning),
        row("lost in all", Lost::total),
        [floor, vec![String::new(); 2]].concat(),
    ];
    let header = "a window|s#|% of\nthroughput#|baseline,\ns#|% of\nthroughput#";
    format!(
        "{}\nthe baseline: DeepSeek's planner on the same windows, in the mean time of {against}\n\
         the floor: plans made for the windows that they serve, and moved free of charge\n",
        Table::new(header, rows).draw(terminal)
    )
}

/// What the plans balance and move.
pub fn moved_text(policy: &PolicyScore) -> String {
    let gigabytes = |bytes: f64| format!("{:.2} GB", bytes / GB);
    format!(
        "balancedness {:.4} on the window planned for, {:.4} on the one served   worst layer {:.4}   nine of ten layers {:.4}\n\
         moved {} % of the replicas: {} a GPU, {} on the busiest one, {} between nodes   doubles {:.1}\n\
         planning {} ms   windows served {}\n",
        policy.balancedness,
        policy.served_balancedness,
        policy.worst_layer,
        policy.p90_layer,
        percent(policy.moved),
        gigabytes(policy.mean_bytes),
        gigabytes(policy.busiest_bytes),
        gigabytes(policy.cross_node_bytes),
        policy.doubles,
        milliseconds(policy.normalised_seconds),
        policy.windows,
    )
}

/// The number of [`cells`].
pub const CELLS: usize = 2;

/// The figures of a policy in a list: the share of the replicas that it moves, in percent, and the seconds that it loses a
/// window.
pub fn cells(policy: &PolicyScore) -> [String; CELLS] {
    [percent(policy.moved), seconds(policy.lost.total())]
}

/// The headings of [`cells`], each with the `|` that separates it from the next column.
pub const HEADINGS: &str = "moved\n%#|lost,\ns#|";

/// The shares of what can be won, and the score without planning time.
pub fn won_text(policy: &PolicyScore) -> String {
    format!(
        "won {} % of what can be won   balance won {}   stayed {}   without planning {}",
        percent(policy.won),
        or_none(policy.balance_won.map(score)),
        score(policy.stayed),
        score(policy.without_planning),
    )
}

/// Two policies, figure by figure.
pub fn compared_table(before: &PolicyScore, after: &PolicyScore, [a, b]: [&str; 2], terminal: &Terminal) -> String {
    let row = |name: &str, figure: &dyn Fn(&PolicyScore) -> f64, digits: usize| {
        let [old, new] = [before, after].map(figure);
        vec![name.to_owned(), format!("{old:.digits$}"), format!("{new:.digits$}"), signed(new - old, digits)]
    };
    let rows = vec![
        row("lost, s a window", &|policy| policy.lost.total(), 3),
        row("  to uneven GPUs", &|policy| policy.lost.imbalance, 3),
        row("  to transfer", &|policy| policy.lost.transfer, 3),
        row("  to planning", &|policy| policy.lost.planning, 3),
        row("balancedness of the window served", &|policy| policy.served_balancedness, 4),
        row("balancedness of the window planned for", &|policy| policy.balancedness, 4),
        row("replicas moved, %", &|policy| policy.moved * 100.0, 3),
        row("received by the busiest GPU, GB", &|policy| policy.busiest_bytes / GB, 2),
        row("between nodes, GB", &|policy| policy.cross_node_bytes / GB, 2),
        row("doubles", &|policy| policy.doubles, 1),
    ];
    Table::new(&format!("|{a}#|{b}#|change#"), rows).draw(terminal)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}
