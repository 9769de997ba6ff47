//! Bar charts as numbers: a template draws them as SVG, without a script. Pure.

/// One bar, in units of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Left edge.
    pub x: u64,
    /// Upper edge of the lower part.
    pub y: u64,
    /// Height of the lower part.
    pub height: u64,
    /// Upper edge of the part stacked on it.
    pub top_y: u64,
    /// Height of the part stacked on it; 0 for none.
    pub top_height: u64,
    /// Said when a pointer rests on it, and to screen readers.
    pub title: String,
}

/// A chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Width of the drawing.
    pub width: u64,
    /// Where bars stand: the height of the drawing.
    pub floor: u64,
    /// Width of each bar.
    pub bar_width: u64,
    /// What a bar over the full height stands for: a round number, so that it can be read beside the chart.
    pub top: u64,
    /// Where that height is.
    pub ceiling: u64,
    /// Bars from left to right.
    pub bars: Vec<Bar>,
}

/// One value to draw: the lower part, the part on top of it, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The lower part.
    pub lower: u64,
    /// The part on top.
    pub upper: u64,
    /// Said when a pointer rests on it.
    pub title: String,
}

const WIDTH: u64 = 720;
const BARS_HEIGHT: u64 = 120;
const ROOM_ABOVE: u64 = 6;

impl Chart {
    /// Draws `values` from left to right; the full height is the next round number above the highest.
    #[must_use]
    pub fn draw(values: Vec<Value>) -> Self {
        let count = u64::try_from(values.len()).unwrap_or(u64::MAX).max(1);
        let slot = (WIDTH / count).max(1);
        let most = values.iter().map(|value| value.lower.saturating_add(value.upper)).max().unwrap_or(0);
        let top = round_above(most);
        let floor = ROOM_ABOVE + BARS_HEIGHT;
        let bar_width = (slot * 3 / 4).clamp(1, 60);
        let bars = values
            .into_iter()
            .zip(0_u64..)
            .map(|(value, index)| {
                let height = scaled(value.lower, top);
                let top_height = scaled(value.upper, top);
                Bar {
                    x: index.saturating_mul(slot).saturating_add(slot.saturating_sub(bar_width) / 2),
                    y: floor.saturating_sub(height),
                    height,
                    top_y: floor.saturating_sub(height.saturating_add(top_height)),
                    top_height,
                    title: value.title,
                }
            })
            .collect();
        Self { width: WIDTH, floor, bar_width, top, ceiling: ROOM_ABOVE, bars }
    }
}

/// The least of 1, 2, 4, 5, 8, 10, 20 and so on that is not below `most`; 0 for nothing.
fn round_above(most: u64) -> u64 {
    if most == 0 {
        return 0;
    }
    let power = 10_u64.saturating_pow(most.ilog10());
    let steps = [1, 2, 4, 5, 8, 10].map(|step: u64| power.saturating_mul(step));
    steps.into_iter().find(|step| *step >= most).unwrap_or(most)
}

/// Something is never drawn as nothing: the least bar has two units.
fn scaled(value: u64, most: u64) -> u64 {
    if value == 0 || most == 0 {
        return 0;
    }
    let height = u128::from(value).saturating_mul(u128::from(BARS_HEIGHT)).div_ceil(u128::from(most));
    u64::try_from(height).unwrap_or(BARS_HEIGHT).clamp(2, BARS_HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(lower: u64, upper: u64) -> Value {
        Value { lower, upper, title: String::new() }
    }

    #[test]
    fn the_highest_bar_fills_the_chart_and_the_least_can_be_seen() {
        let chart = Chart::draw(vec![value(1, 0), value(0, 0), value(1_000_000, 0)]);
        let heights: Vec<u64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [2, 0, BARS_HEIGHT]);
        assert!(chart.bars.iter().all(|bar| bar.y + bar.height == chart.floor));
        assert_eq!(chart.floor - chart.ceiling, BARS_HEIGHT);
    }

    #[test]
    fn the_full_height_stands_for_the_next_round_number() {
        let check = |most, top| assert_eq!(round_above(most), top);
        check(0, 0);
        check(1, 1);
        check(3, 4);
        check(10, 10);
        check(43_000_000_000, 50_000_000_000);
        check(81, 100);
        check(u64::MAX, u64::MAX);
        let chart = Chart::draw(vec![value(20, 10)]);
        assert_eq!((chart.top, chart.bars[0].height, chart.bars[0].top_height), (40, 60, 30));
    }

    #[test]
    fn a_bar_stands_in_the_middle_of_its_place() {
        let check = |count: usize| {
            let chart = Chart::draw(vec![value(1, 0); count]);
            let (first, last) = (&chart.bars[0], &chart.bars[count - 1]);
            let right = chart.width - last.x - chart.bar_width;
            assert!(right.abs_diff(first.x) <= 1 + chart.width % u64::try_from(count).unwrap(), "{count}");
        };
        [1, 2, 7, 24, 100].into_iter().for_each(check);
    }

    #[test]
    fn nothing_and_everything_can_be_drawn() {
        assert!(Chart::draw(Vec::new()).bars.is_empty());
        let chart = Chart::draw(vec![value(u64::MAX, u64::MAX)]);
        assert!(chart.bars.iter().all(|bar| bar.height <= BARS_HEIGHT));
    }
}
