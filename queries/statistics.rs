//! Whether two groups of steps differ, when the steps of a game are alike and a feature is silent in most of them.
//!
//! The difference of two means is D = Σ a·y over the steps, with a = 1/n₁ in the first group and −1/n₂ in the second.
//! If the group does not matter, steps of a game may be swapped with each other, and games with each other, so
//! what D varies by follows from all steps together, whichever group they are in. With z = y − mean of y, and sums Z
//! of z and A of a over the steps of a game:
//!
//! - variance of D = within·Σa² + between·ΣA², where within is the mean variance inside games, and between is what
//!   the whole variance, Σz²/n + G/(G−1)·ΣZ²/n², has beyond it (none if it is smaller); G games, n steps;
//! - third cumulant of D = c₃·Σa³ + 3·c₂₁·Σ'aᵢ²aⱼ + c₁₁₁·Σ'aᵢaⱼaₖ, where Σ' is over different steps of one game, and
//!   the c are the means of z³, zᵢ²zⱼ and zᵢzⱼzₖ over the same, times G²/((G−1)(G−2)).
//!
//! With one step in each game these are the variance and the third cumulant over all ways to swap labels, exactly.
//! Variances taken from each group by itself, as the usual ones for clusters, do not hold: a group of few steps in
//! which a rare feature never fires has none.
//!
//! A feature that fires rarely makes D skewed: what a t test takes for one in ten thousand comes once in a few
//! hundred. The statistic, D over its standard deviation, is therefore put on the scale of a normal variable by
//! Wilson and Hilferty's cube root, in the direction of the long tail, where it can only lose; in the other direction
//! it is left as it is, since the short tail is shorter than a normal one. p is two-sided.
//!
//! Held against shuffled labels in `tests/queries/contrast.rs`: at most one in twenty shuffles may have a q below 0.05.
//! Simulated with features that mean nothing, that held in twelve of thirteen designs of 12 to 300 games, but not for
//! one group of 5 games of 1 to 5 steps against 25 games of 20 to 40: there one in ten had.

use polars::prelude::{
    Column, DataType, Expr, Field, LazyFrame, NULL, NamedFrom as _, Series, SortMultipleOptions, col, lit,
    when,
};

/// What is left of a variance by rounding, as a share of the mean square.
const ROUNDING: f64 = 1e-12;

/// The least skewness that makes a difference that double precision shows.
const LEAST_SKEWNESS: f64 = 1e-5;

/// Adds mean, `mean_first`, `mean_second`, effect, statistic and `p_value` to the sums over games that
/// [`crate::contrast`] makes; the last three are missing where nothing varies.
///
/// The effect is Cohen's d: the difference in units of the standard deviation inside the groups, over steps.
pub(crate) fn with_statistics(sums: LazyFrame) -> LazyFrame {
    let n = || col("n");
    let means = sums.with_columns([
        (col("s_1") / n()).alias("mean"),
        (col("first_1") / col("n_first")).alias("mean_first"),
        ((col("s_1") - col("first_1")) / col("n_second")).alias("mean_second"),
    ]);
    with_cumulants(with_moments(means))
        .with_columns([
            unless_rounding("apart", col("s_2"), difference() / (col("apart") / (n() - lit(2.0))).sqrt())
                .alias("effect"),
            unless_rounding("variance", col("a_2") * col("s_2") / n(), difference() / col("variance").sqrt())
                .alias("statistic"),
        ])
        .with_column(p_value().alias("p_value"))
}

/// Sorts by p, and adds the q-value of Benjamini and Hochberg: the least false discovery rate at which a row is still
/// a discovery. Rows without p are last and are not counted.
pub(crate) fn with_q_values(rows: LazyFrame, ties: &[&str]) -> LazyFrame {
    let p = || col("p_value");
    let shown = |name: &str| col(name).cast(DataType::Float32);
    let ties = || ties.iter().map(|name| col(*name)).collect::<Vec<_>>();
    let order = || SortMultipleOptions::default().with_nulls_last(true).with_maintain_order(true);
    let q = (p() * p().count() / p().cum_count(false)).cum_min(true);
    let sorted = rows.sort_by_exprs([vec![shown("p_value")], ties()].concat(), order());
    sorted
        .with_column(q.alias("q_value"))
        .sort_by_exprs([vec![shown("q_value"), shown("p_value")], ties()].concat(), order())
}

/// Sums over games of powers and products of Z, Σz² and Σz³ of a game, from those of y and of how many steps it has.
fn with_moments(means: LazyFrame) -> LazyFrame {
    let mean = || col("mean");
    let (two, three) = (|| lit(2.0), || lit(3.0));
    let square = || mean() * mean();
    let cube = || mean() * mean() * mean();
    means.with_columns([
        (col("s_2") - col("n") * square()).alias("z_2"),
        (col("s_2") - col("s_11_m")).alias("z_within"),
        (col("s_3") - three() * mean() * col("s_2") + two() * col("n") * cube()).alias("z_3"),
        (col("s_11") - two() * mean() * col("m_s_1") + square() * col("m_2")).alias("z_11"),
        (col("s_12") - two() * mean() * col("s_11") + three() * square() * col("m_s_1")
            - mean() * col("m_s_2")
            - cube() * col("m_2"))
        .alias("z_12"),
        (col("s_111") - three() * mean() * col("m_s_11") + three() * square() * col("mm_s_1")
            - cube() * col("m_3"))
        .alias("z_111"),
        (col("s_2")
            - col("n_first") * col("mean_first") * col("mean_first")
            - col("n_second") * col("mean_second") * col("mean_second"))
        .alias("apart"),
    ])
}

/// The variance and the third cumulant of the difference.
fn with_cumulants(moments: LazyFrame) -> LazyFrame {
    let (n, games) = (|| col("n"), || col("games"));
    let (one, two, three) = (|| lit(1.0), || lit(2.0), || lit(3.0));
    let small = games() * games() / ((games() - one()) * (games() - two()));
    let pairs = col("m_2") - n();
    let triples = col("m_3") - three() * col("m_2") + two() * n();
    let mean_of =
        |sum: Expr, count: Expr| when(count.clone().gt(lit(0.0))).then(sum / count).otherwise(lit(0.0));
    let third = col("z_3") / n() * col("a_3")
        + three() * mean_of(col("z_12") - col("z_3"), pairs) * (col("w_12") - col("a_3"))
        + mean_of(col("z_111") - three() * col("z_12") + two() * col("z_3"), triples)
            * (col("w_111") - three() * col("w_12") + two() * col("a_3"));
    let within = when(n().gt(games())).then(col("z_within") / (n() - games())).otherwise(col("whole"));
    let between = col("whole") - col("within");
    moments
        .with_column(
            (col("z_2") / n() + col("z_11") / (n() * n()) * games() / (games() - one())).alias("whole"),
        )
        .with_column(within.alias("within"))
        .with_columns([
            (col("within") * col("a_2")
                + when(between.clone().gt(lit(0.0))).then(between * col("w_11")).otherwise(lit(0.0)))
            .alias("variance"),
            (third * small).alias("third"),
        ])
}

fn difference() -> Expr {
    col("mean_first") - col("mean_second")
}

/// The value, if `variance` is more than what rounding leaves of `scale`.
fn unless_rounding(variance: &str, scale: Expr, value: Expr) -> Expr {
    when(col(variance).gt(lit(ROUNDING) * scale)).then(value).otherwise(lit(NULL))
}

/// p of the statistic, whose skewness is `third` over the cubed standard deviation.
fn p_value() -> Expr {
    let skewness = || col("third") / (col("variance") * col("variance").sqrt());
    let statistic = || col("statistic");
    let along = || when(skewness().lt(lit(0.0))).then(-statistic()).otherwise(statistic());
    let size = || skewness().abs();
    let root = || lit(2.0) / when(size().gt(lit(LEAST_SKEWNESS))).then(size()).otherwise(lit(LEAST_SKEWNESS));
    let bent = lit(3.0)
        * root()
        * ((lit(1.0) + along() / root()).pow(lit(1.0 / 3.0)) - lit(1.0)
            + lit(1.0) / (lit(9.0) * root() * root()));
    let bent = || bent.clone();
    let score = when(along().lt_eq(lit(0.0)))
        .then(-along())
        .when(bent().lt(lit(0.0)))
        .then(lit(0.0))
        .when(bent().gt(along()))
        .then(along())
        .otherwise(bent());
    let p = erfc(score / lit(2.0).sqrt());
    when(statistic().is_null()).then(lit(NULL)).when(p.clone().gt(lit(1.0))).then(lit(1.0)).otherwise(p)
}

/// The complementary error function. The SQL has Chebyshev's fit of it, to 1.2e-7 of itself.
fn erfc(x: Expr) -> Expr {
    let map = |column: Column| {
        let values = column.f64()?.iter().map(|x| x.map(statrs::function::erf::erfc)).collect::<Vec<_>>();
        Ok(Column::from(Series::new(column.name().clone(), values)))
    };
    x.map(map, |_, field| Ok(Field::new(field.name().clone(), DataType::Float64)))
}
