//! `packevolve loads`: what files of loads hold, as people and programs see it.

use std::fs;

use crate::support::World;

#[test]
fn a_recording_is_shown_window_by_window_with_what_was_left_out() {
    let world = World::new();
    fs::create_dir(world.path("loads")).unwrap();
    world.write("loads/ring.json", "{\"logical_count\": [[[0, 0], [1, 3]], [[0, 0], [0, 0]], [[0, 0], [2, 2]]]}");
    world.write("loads/readme.md", "# Loads\n");
    let json = world.run(&["loads", "loads", "--format", "json"]).ends(0).json();
    assert_eq!((json["layers"].as_u64(), json["experts"].as_u64()), (Some(1), Some(2)));
    assert_eq!((json["layer_ids"].to_string(), json["dense_layers"].to_string()), ("[1]".into(), "[0]".into()));
    let windows = json["windows"].as_array().unwrap();
    // The ring ends after its first row.
    assert_eq!((windows.len(), windows[1]["gini"].as_f64()), (2, Some(0.25)));
    assert_eq!(windows[1]["drift"].as_f64(), Some(0.25));
    assert_eq!(windows[1]["heaviest"]["times_mean"].as_f64(), Some(1.5));
    let text = world.run(&["loads", "loads"]).ends(0).stdout;
    assert!(text.starts_with("2 windows, 1 layer, 2 experts\nlayers of the model: 1, dense: 0\n"), "{text}");
    assert!(text.contains("note: loads/readme.md: left out: it begins with \"# Loads\""), "{text}");
    assert!(text.contains("1 of 3 rows have no load and are dropped"), "{text}");
}

#[test]
fn loads_that_do_not_fit_the_settings_or_cannot_be_read_are_refused_with_the_place() {
    let world = World::new();
    world.write("loads.csv", "1,2,3\n4,x,6\n");
    world.run(&["loads", "loads.csv"]).ends(3).tells_one_error(&["loads.csv, line 2, column 2: \"x\" is not a number"]);
    world.write("loads.csv", "1,2,3\n4,5,6\n");
    let refused = world.run(&["loads", "loads.csv", "--config", "config.yaml"]).ends(3);
    refused.tells_one_error(&["loads.csv: 2 layers of 3 loads, but the topology has "]);
    world.run(&["loads", "none.pt"]).ends(3).tells_one_error(&["there are no loads at none.pt"]);
    world.run(&["loads"]).ends(2);
}
