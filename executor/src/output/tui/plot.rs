//! One chart: curves, level lines and marks over a time axis, with units at both axes.
//!
//! It only draws what it is given. Whatever its area, it draws inside it or not at all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};

use super::state::Window;
use whimbrel_observe::units::{round_up, short};

/// Columns left of the plot, for the labels of the vertical axis.
const GUTTER: u16 = 9;

/// A chart. Heights are in the vertical axis's unit: bytes, or bytes a second.
pub(super) struct Plot<'a> {
    pub(super) window: Window,
    pub(super) curves: Vec<Curve<'a>>,
    pub(super) levels: Vec<Level>,
    pub(super) marks: Vec<Sign>,
    pub(super) level_style: Style,
}

/// A curve.
pub(super) struct Curve<'a> {
    pub(super) points: &'a [(f64, f64)],
    pub(super) marker: Marker,
    pub(super) style: Style,
}

/// A horizontal line with a name.
pub(super) struct Level {
    pub(super) height: f64,
    pub(super) name: &'static str,
}

/// A sign at one point.
pub(super) struct Sign {
    pub(super) at_s: f64,
    pub(super) height: f64,
    pub(super) symbol: &'static str,
    pub(super) style: Style,
}

impl Plot<'_> {
    /// Draws the chart; the last row of `area` is the time axis.
    pub(super) fn draw(&self, area: Rect, buf: &mut Buffer) {
        if area.height < 3 || area.width < GUTTER + 12 {
            return;
        }
        let top = round_up(self.window.most_bytes);
        let field =
            Rect { x: area.x + GUTTER, y: area.y, width: area.width - GUTTER, height: area.height - 1 };
        Self::draw_heights(field, top, buf);
        for level in &self.levels {
            self.draw_level(level, field, top, buf);
        }
        Self::draw_middle(field, top, buf);
        self.draw_curves(field, top, buf);
        for sign in &self.marks {
            if let Some((x, y)) = self.cell(field, top, sign.at_s, sign.height) {
                buf.set_string(x, y, sign.symbol, sign.style);
            }
        }
        self.draw_times(Rect { y: field.bottom(), height: 1, ..field }, buf);
    }

    fn draw_heights(field: Rect, top: f64, buf: &mut Buffer) {
        for y in field.top()..field.bottom() {
            buf.set_string(field.x - 1, y, "│", Style::new());
        }
        label(field, field.top(), &format!("{} ┤", short(top)), buf);
        label(field, field.bottom() - 1, "0 ┤", buf);
    }

    /// The middle of the vertical axis, where there is one and no level has taken its place.
    fn draw_middle(field: Rect, top: f64, buf: &mut Buffer) {
        if field.height >= 5 && field.height % 2 == 1 {
            label(field, field.top() + field.height / 2, &format!("{} ┤", short(top / 2.0)), buf);
        }
    }

    fn draw_level(&self, level: &Level, field: Rect, top: f64, buf: &mut Buffer) {
        let Some((_, y)) = self.cell(field, top, self.window.from_s, level.height) else { return };
        buf.set_string(field.x, y, "┄".repeat(usize::from(field.width)), self.level_style);
        label(field, y, &format!("{} ┄", level.name), buf);
    }

    fn draw_curves(&self, field: Rect, top: f64, buf: &mut Buffer) {
        for curve in &self.curves {
            let color = curve.style.fg.unwrap_or_default();
            let first = curve.points.partition_point(|point| point.0 < self.window.from_s).saturating_sub(1);
            let points = curve.points.get(first..).unwrap_or_default();
            let paint = |context: &mut ratatui::widgets::canvas::Context<'_>| {
                for pair in points.windows(2) {
                    if let [(x1, y1), (x2, y2)] = *pair {
                        context.draw(&Line { x1, y1, x2, y2, color });
                    }
                }
            };
            Canvas::default()
                .marker(curve.marker)
                .x_bounds([self.window.from_s, self.window.to_s])
                .y_bounds([0.0, top])
                .paint(paint)
                .render(field, buf);
        }
    }

    fn draw_times(&self, axis: Rect, buf: &mut Buffer) {
        let Window { from_s, to_s, .. } = self.window;
        buf.set_string(axis.x - 1, axis.y, "└", Style::new());
        buf.set_string(axis.x, axis.y, "─".repeat(usize::from(axis.width)), Style::new());
        let decimals = usize::from(to_s - from_s < 30.0);
        let label = |second: f64| format!(" {second:.decimals$} s ");
        let (first, middle, last) = (label(from_s), label(f64::midpoint(from_s, to_s)), label(to_s));
        let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        if width(&first) + width(&middle) + width(&last) + 6 <= axis.width {
            let x = axis.x + (axis.width - width(&middle)) / 2;
            buf.set_string(x, axis.y, &middle, Style::new());
        }
        buf.set_string(axis.x + 1, axis.y, &first, Style::new());
        buf.set_string(axis.right() - width(&last), axis.y, last.trim_end().to_owned() + " ", Style::new());
    }

    /// The cell of a point; `None` outside the window.
    fn cell(&self, field: Rect, top: f64, at_s: f64, height: f64) -> Option<(u16, u16)> {
        let Window { from_s, to_s, .. } = self.window;
        if !(from_s..=to_s).contains(&at_s) || !(0.0..=top).contains(&height) {
            return None;
        }
        let x = share((at_s - from_s) / (to_s - from_s), field.width);
        let y = share(1.0 - height / top, field.height);
        Some((field.x + x, field.y + y))
    }
}

/// Writes a label into the gutter of this row, unless another is there already. Its last character lies on the axis.
fn label(field: Rect, y: u16, text: &str, buf: &mut Buffer) {
    let gutter = field.x.saturating_sub(GUTTER);
    let free = (gutter..field.x - 1).all(|x| buf.cell((x, y)).is_none_or(|cell| cell.symbol() == " "));
    if free {
        let width = usize::from(GUTTER);
        buf.set_stringn(gutter, y, format!("{text:>width$}"), width, Style::new());
    }
}

/// The cell at this part, 0 to 1, of so many cells.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the cells there are, of which a terminal has fewer than 65,536"
)]
fn share(part: f64, cells: u16) -> u16 {
    let last = cells.saturating_sub(1);
    (part * f64::from(cells)).floor().clamp(0.0, f64::from(last)) as u16
}
