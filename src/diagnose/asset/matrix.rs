//! Small symmetric matrices, and their eigenvectors by Jacobi's rotations.

/// Rotations over all pairs before a matrix counts as diagonal: ten are usual, forty never met.
const SWEEPS_MAX: usize = 40;
/// What is left off the diagonal, relative to it, when the work is done.
const OFF_MAX: f64 = 1e-13;

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    n: usize,
    cells: Vec<f64>,
}

impl Matrix {
    pub(super) fn zero(n: usize) -> Self {
        Self { n, cells: vec![0.0; n * n] }
    }

    fn one(n: usize) -> Self {
        let mut matrix = Self::zero(n);
        (0..n).for_each(|i| matrix.set(i, i, 1.0));
        matrix
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.cells.get(row * self.n + column).copied().unwrap_or(0.0)
    }

    pub(super) fn set(&mut self, row: usize, column: usize, value: f64) {
        if let Some(cell) = self.cells.get_mut(row * self.n + column) {
            *cell = value;
        }
    }

    /// Gives the covariance of rows whose columns have a mean of zero already.
    pub(super) fn covariance(rows: &[Vec<f64>], n: usize) -> Self {
        let mut sums = Self::zero(n);
        for row in rows {
            for (a, line) in row.iter().zip(sums.cells.chunks_exact_mut(n.max(1))) {
                line.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "a few thousand rows of training")]
        let freedom = rows.len().saturating_sub(1).max(1) as f64;
        sums.cells.iter_mut().for_each(|cell| *cell /= freedom);
        sums
    }

    pub(super) fn add_to_diagonal(&mut self, value: f64) {
        (0..self.n).for_each(|i| self.set(i, i, self.at(i, i) + value));
    }

    /// Gives the eigenvalues, largest first, each with its vector (Golub and Van Loan, 8.5).
    pub(super) fn eigen(mut self) -> Vec<(f64, Vec<f64>)> {
        let n = self.n;
        let mut vectors = Self::one(n);
        for _ in 0..SWEEPS_MAX {
            let pairs = || (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q)));
            let off: f64 = pairs().map(|(p, q)| self.at(p, q).powi(2)).sum();
            let on: f64 = (0..n).map(|i| self.at(i, i).powi(2)).sum();
            if off <= on * OFF_MAX * OFF_MAX {
                break;
            }
            pairs().for_each(|(p, q)| self.rotate(p, q, &mut vectors));
        }
        let column = |j: usize| (0..n).map(|i| vectors.at(i, j)).collect();
        let mut found: Vec<(f64, Vec<f64>)> = (0..n).map(|j| (self.at(j, j), column(j))).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found
    }

    /// Turns the plane of two axes so that nothing is left between them.
    fn rotate(&mut self, p: usize, q: usize, vectors: &mut Self) {
        let between = self.at(p, q);
        if between == 0.0 {
            return;
        }
        let theta = (self.at(q, q) - self.at(p, p)) / (2.0 * between);
        let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
        let cosine = 1.0 / tangent.hypot(1.0);
        let sine = tangent * cosine;
        for k in 0..self.n {
            let (a, b) = (self.at(k, p), self.at(k, q));
            self.set(k, p, cosine * a - sine * b);
            self.set(k, q, sine * a + cosine * b);
        }
        for k in 0..self.n {
            let (a, b) = (self.at(p, k), self.at(q, k));
            self.set(p, k, cosine * a - sine * b);
            self.set(q, k, sine * a + cosine * b);
            let (a, b) = (vectors.at(k, p), vectors.at(k, q));
            vectors.set(k, p, cosine * a - sine * b);
            vectors.set(k, q, sine * a + cosine * b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_make_the_matrix_again() {
        let n = 6;
        let mut matrix = Matrix::zero(n);
        for i in 0..n {
            for j in 0..n {
                #[allow(clippy::cast_precision_loss, reason = "single digits")]
                let value = 1.0 / (1 + i + j) as f64;
                matrix.set(i, j, value);
            }
        }
        let found = matrix.clone().eigen();
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        for i in 0..n {
            for j in 0..n {
                let again: f64 = found.iter().map(|(value, v)| value * v[i] * v[j]).sum();
                assert!((again - matrix.at(i, j)).abs() < 1e-12, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_is_done_already() {
        let mut matrix = Matrix::zero(2);
        matrix.set(0, 0, 1.0);
        matrix.set(1, 1, 3.0);
        let found = matrix.eigen();
        assert_eq!((found[0].0, found[1].0), (3.0, 1.0));
    }
}
