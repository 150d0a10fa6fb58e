//! Elementwise arithmetic of the networks, written so that the compiler turns it into vector instructions.

/// `e^x` within 2 parts in 10^7 for -87 <= x <= 88; outside it answers as at the nearer end.
///
/// The standard library's version is a call for each number; a softmax over a long context needs millions.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number without a branch.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    // Cephes' polynomial for e^r, |r| <= ln(2) / 2.
    let mut sum = 1.987_569_2e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum.mul_add(rest, coefficient);
    }
    let fraction = sum.mul_add(rest * rest, rest) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_shl(23);
    f32::from_bits(fraction.to_bits().wrapping_add(exponent))
}

/// Root-mean-square normalisation of every row, times `weights`.
pub(super) fn rms_norm(rows: &[f32], weights: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(weights.len()) {
        let mean = lanes_square_sum(row) / weights.len() as f32;
        let factor = 1.0 / (mean + epsilon).sqrt();
        out.extend(
            row.iter()
                .zip(weights)
                .map(|(value, weight)| value * factor * weight),
        );
    }
    out
}

fn lanes_square_sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = value.mul_add(*value, *lane);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
}

/// Layer normalisation of every row in place.
pub(super) fn layer_norm(rows: &mut [f32], weights: &[f32], bias: &[f32], epsilon: f32) {
    let length = weights.len() as f32;
    for row in rows.chunks_exact_mut(weights.len()) {
        let mean = row.iter().sum::<f32>() / length;
        for value in row.iter_mut() {
            *value -= mean;
        }
        let factor = 1.0 / (lanes_square_sum(row) / length + epsilon).sqrt();
        for ((value, weight), bias) in row.iter_mut().zip(weights).zip(bias) {
            *value = (*value * factor).mul_add(*weight, *bias);
        }
    }
}

/// `silu(gate) * up` for rows that hold first the gates, then the ups.
pub(super) fn gated(rows: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len() / 2);
    for row in rows.chunks_exact(2 * width) {
        let (gate, up) = row.split_at(width);
        out.extend(
            gate.iter()
                .zip(up)
                .map(|(gate, up)| gate / (1.0 + exp(-gate)) * up),
        );
    }
    out
}

/// The Gaussian error linear unit, in the form with the hyperbolic tangent (within 0.0005 of the exact one).
pub(super) fn gelu(values: &mut [f32]) {
    for value in values {
        let x = *value;
        let inner = 0.797_884_6 * (0.044_715 * x * x).mul_add(x, x);
        *value = x / (1.0 + exp(-2.0 * inner));
    }
}

/// `rows += more`.
pub(super) fn add(rows: &mut [f32], more: &[f32]) {
    for (value, more) in rows.iter_mut().zip(more) {
        *value += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for step in -8700..8800 {
            let x = step as f32 / 100.0;
            let (got, want) = (exp(x), x.exp());
            assert!((got - want).abs() <= want * 3e-7, "{x}: {got} {want}");
        }
        assert!(exp(-1000.0) < 1e-37);
        assert!(exp(1000.0).is_finite());
    }

    #[test]
    fn norms_have_unit_scale() {
        let row: Vec<f32> = (0_u8..64).map(|i| f32::from(i) - 10.0).collect();
        let out = rms_norm(&row, &[1.0; 64], 0.0);
        assert!((out.iter().map(|x| x * x).sum::<f32>() / 64.0 - 1.0).abs() < 1e-4);
        let mut row = row;
        layer_norm(&mut row, &[1.0; 64], &[0.5; 64], 0.0);
        assert!((row.iter().sum::<f32>() / 64.0 - 0.5).abs() < 1e-4);
    }

    #[test]
    fn gelu_is_close_to_the_exact_form() {
        for (x, want) in [
            (-2.0, -0.0455_f32),
            (-0.5, -0.1543),
            (0.0, 0.0),
            (1.0, 0.8413),
            (3.0, 2.9960),
        ] {
            let mut values = [x];
            gelu(&mut values);
            assert!((values[0] - want).abs() < 1e-3, "{x}: {} {want}", values[0]);
        }
    }
}
