//! The standard workloads over the built-in table.

use ndarray::{Array2, ArrayView2, s};

use super::Workload;
use crate::device::RunOptions;
use crate::explain::{Budget, Estimator, ExactShapley, KernelShap, LimeTabular, TableGame};
use crate::perturb::{Discretiser, Neighbourhood, Rows, TableMasker};
use crate::table::{Encoding, Groups, Missing};
use crate::{Result, builtin};

/// The built-in table's 30 features in 20 groups.
const GROUPS: &str = include_str!("../../assets/table/breast_cancer_groups20.toml");

/// Encoding and codes of the built-in table, `[569, 30]`: all of it numbers, so codes are cells.
fn table() -> Result<(Encoding, Array2<f64>)> {
    let raw = builtin::table()?.without(&[builtin::TABLE_TARGET.to_owned()])?;
    let encoding = Encoding::infer(&raw, Missing::Error, None)?;
    let codes = encoding.codes(&raw)?;
    Ok((encoding, codes))
}

/// The table's last row against its first `background` rows.
fn masker(codes: &Array2<f64>, background: usize) -> Result<TableMasker> {
    let cells = codes.mapv(|x| x as f32);
    TableMasker::new(cells.slice(s![-1.., ..]), cells.slice(s![..background.min(cells.nrows()), ..]))
}

impl Workload {
    /// Kernel SHAP of one row of the built-in table: probabilities of its network.
    ///
    /// # Errors
    /// None but for a defect: all of it is built in.
    pub fn kernel_shap_table(coalitions: usize, background: usize, run: RunOptions) -> Result<Self> {
        let shap = KernelShap { budget: Budget::of(coalitions), ..KernelShap::default() };
        let masker = masker(&table()?.1, background)?;
        Self::shapley(format!("Kernel SHAP, table, {coalitions} coalitions"), shap, masker, run)
    }

    /// Exact Shapley values of one row of the built-in table, its features in 20 groups: a million coalitions.
    ///
    /// # Errors
    /// None but for a defect: all of it is built in.
    pub fn exact_table(background: usize, run: RunOptions) -> Result<Self> {
        let (encoding, codes) = table()?;
        let (_, members) = Groups::parse(GROUPS, "built-in groups")?.players(&encoding)?;
        let mut players = vec![0; encoding.width()];
        for (player, columns) in members.iter().enumerate() {
            columns.iter().for_each(|&column| players[column] = player);
        }
        let masker = masker(&codes, background)?.grouped(&players)?;
        let name = format!("exact Shapley values, table, {} players", members.len());
        Self::shapley(name, ExactShapley::default(), masker, run)
    }

    fn shapley(
        name: String,
        method: impl Estimator + 'static,
        masker: TableMasker,
        run: RunOptions,
    ) -> Result<Self> {
        Ok(Self::new(name, builtin::table_network()?.probabilities()?, move |network| {
            let game = TableGame::new(network, masker.clone())?.outputs_of(&[1])?.with_options(run.clone());
            Ok(method.explain(&game, &mut |_| {})?.evaluations * game.evaluations_per_coalition())
        }))
    }

    /// LIME of one row of the built-in table: quartiles, 10 features, probabilities of its network.
    ///
    /// # Errors
    /// None but for a defect: all of it is built in.
    pub fn lime_table(samples: usize, run: RunOptions) -> Result<Self> {
        let (encoding, codes) = table()?;
        let categorical = vec![false; encoding.features()];
        let neighbourhood = Neighbourhood::new(codes.view(), &categorical, Discretiser::Quartile, None)?;
        let instance = codes.row(codes.nrows() - 1).to_vec();
        let lime = LimeTabular { samples, ..LimeTabular::default() };
        let model = builtin::table_network()?.probabilities()?;
        Ok(Self::new(format!("LIME, table, {samples} samples"), model, move |network| {
            let mut ask = |codes: ArrayView2<f64>| {
                let cells: Vec<f32> = codes.iter().map(|&x| x as f32).collect();
                Ok(network.responses(&Rows::new(&cells, instance.len())?, &run)?.mapv(f64::from))
            };
            Ok(lime.explain(&neighbourhood, &instance, &mut ask, &mut |_| {})?.evaluations)
        }))
    }
}
