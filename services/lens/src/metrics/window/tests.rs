use super::*;

fn window(from: u64, to: u64) -> Window {
    Window { from, to }
}

#[test]
fn shares_are_by_time() {
    assert_eq!(window(0, 10).share_in(window(5, 10)), 0.5);
    assert_eq!(window(0, 10).share_in(window(10, 20)), 0.0);
    assert_eq!(window(2, 4).share_in(window(0, 10)), 1.0);
}

#[test]
fn an_empty_window_lies_in_one_interval() {
    let instant = window(10, 10);
    assert_eq!(instant.share_in(window(0, 10)), 1.0);
    assert_eq!(instant.share_in(window(10, 20)), 0.0);
}
