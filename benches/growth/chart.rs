//! The chart: a panel for each group and measure, as plain SVG. The axis of the size is
//! logarithmic, so that growth with the logarithm is a straight line, the dashed one.

use crate::case::thousands;
use crate::table::{Figures, Group, Measure};

/// Size of a panel's plot, in pixels.
const WIDTH: f64 = 216.0;
const HEIGHT: f64 = 84.0;
/// Distance from one panel to the next.
const STEP_X: f64 = WIDTH + 16.0;
const STEP_Y: f64 = HEIGHT + 50.0;
/// The upper left corner of the first panel.
const LEFT: f64 = 16.0;
const TOP: f64 = 72.0;
/// Space in a panel beside the first and the last point, for their labels.
const INSET: f64 = 24.0;
/// Space above the largest value, as a factor.
const HEADROOM: f64 = 1.35;
/// Height of the label of a point above it.
const ABOVE: f64 = 8.0;

/// Colors for a light and a dark page. The background is drawn, so that the chart can be read also
/// where the program that shows it does not say which it is.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1f2328}.head{font-weight:600}\
.back{fill:#fff}.frame{fill:none;stroke:#d1d9e0}.line{fill:none;stroke:#0969da;stroke-width:2}\
.dot,.label{fill:#0969da}.log{stroke:#818b98;stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.back{fill:#0d1117}.frame{stroke:#3d444d}\
.line{stroke:#4493f8}.dot,.label{fill:#4493f8}.log{stroke:#9198a1}}";

/// The rows of panels, and their titles.
const ROWS: [(Measure, &str); 4] = [
    (Measure::Median, "Command to reply at 50/s, median, ms"),
    (
        Measure::P99,
        "Command to reply at 50/s, 99th percentile, ms",
    ),
    (Measure::Cpu, "CPU time for 1,000 commands, ms"),
    (Measure::Memory, "Resident memory after the commands, MiB"),
];

/// The place of a panel, and the value at its upper edge.
#[derive(Debug, Clone, Copy)]
struct Panel {
    measure: Measure,
    left: f64,
    top: f64,
    most: f64,
}

/// Returns the chart of these groups.
pub(crate) fn svg(groups: &[Group]) -> String {
    let columns = f64::from(u32::try_from(groups.len()).unwrap_or(u32::MAX));
    let width = LEFT + STEP_X * columns;
    let note = "Dashed: growth with the logarithm of the size. Every vertical axis begins at zero.";
    let mut parts = vec![text("", (LEFT, 20.0), "start", note)];
    let mut left = LEFT;
    for group in groups {
        let middle = left + WIDTH / 2.0;
        parts.push(text(
            "head",
            (middle, 42.0),
            "middle",
            group.dimension.name(),
        ));
        left += STEP_X;
    }
    let mut top = TOP;
    for (measure, title) in ROWS {
        parts.push(text("", (LEFT, top - 8.0), "start", title));
        let figures = groups.iter().flat_map(|group| &group.figures);
        let values = figures.map(|figures| figures.value(measure));
        let most = values.fold(0.0, f64::max) * HEADROOM;
        let mut left = LEFT;
        for group in groups {
            let panel = Panel {
                measure,
                left,
                top,
                most,
            };
            panel.draw(group, &mut parts);
            left += STEP_X;
        }
        top += STEP_Y;
    }
    let height = top - 24.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"Latency, CPU time \
         and memory with more devices, cached drafts and sources\">\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\"/>\n{}\n</svg>\n",
        parts.join("\n")
    )
}

impl Panel {
    fn draw(self, group: &Group, parts: &mut Vec<String>) {
        let Self { left, top, .. } = self;
        parts.push(format!(
            "<rect class=\"frame\" x=\"{left:.0}\" y=\"{top:.0}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\"/>"
        ));
        let [Some(first), Some(last)] = [group.figures.first(), group.figures.last()] else {
            return;
        };
        parts.push(self.logarithm(first, last));
        let points = group.figures.iter().map(|figures| {
            let x = self.x(figures, first, last);
            let y = self.y(figures.value(self.measure));
            (x, y, figures)
        });
        let points: Vec<_> = points.collect();
        let line = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}"));
        let line = line.collect::<Vec<_>>().join(" ");
        parts.push(format!("<polyline class=\"line\" points=\"{line}\"/>"));
        for (x, y, figures) in points {
            parts.push(format!(
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            ));
            let label = self.measure.format(figures.value(self.measure));
            parts.push(text("label", (x, y - ABOVE), "middle", &label));
            let size = thousands(figures.case.size);
            parts.push(text("", (x, top + HEIGHT + 15.0), "middle", &size));
        }
    }

    /// The line of growth with the logarithm of the size, as far as it is within the panel.
    fn logarithm(self, first: &Figures, last: &Figures) -> String {
        let begin = first.value(self.measure);
        let end = last.logarithmic(self.measure, first);
        let share = ((self.most - begin) / (end - begin)).clamp(0.0, 1.0);
        let (x1, x2) = (self.x(first, first, last), self.x(last, first, last));
        let x2 = (x2 - x1).mul_add(share, x1);
        let (y1, y2) = (self.y(begin), self.y((end - begin).mul_add(share, begin)));
        format!("<line class=\"log\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
    }

    fn x(self, figures: &Figures, first: &Figures, last: &Figures) -> f64 {
        let log = |figures: &Figures| f64::from(figures.case.size).log2();
        let share = (log(figures) - log(first)) / (log(last) - log(first));
        (WIDTH - 2.0 * INSET).mul_add(share, self.left + INSET)
    }

    fn y(self, value: f64) -> f64 {
        self.top + HEIGHT - HEIGHT * value / self.most
    }
}

fn text(class: &str, (x, y): (f64, f64), anchor: &str, content: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}\
         </text>"
    )
}
