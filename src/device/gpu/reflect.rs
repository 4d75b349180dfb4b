//! Compares the shaders with what Rust binds to them.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess, TypeInner};

use super::source::{Permutation, Shader, permutations};
use crate::device::Precision;

/// What a permutation's WGSL says about itself.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Reflection {
    /// Shader and defines.
    pub name: String,
    /// How numbers are stored.
    pub precision: Precision,
    /// The WGSL.
    pub wgsl: String,
    /// Threads of a workgroup.
    pub threads: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// Parses and validates every permutation in both precisions and compares entry point, bindings and uniform with Rust's
/// declarations.
///
/// # Errors
/// All that is wrong, a permutation a line.
#[doc(hidden)]
pub fn check_shaders() -> Result<Vec<Reflection>, String> {
    let (good, bad): (Vec<_>, Vec<_>) = [Precision::F32, Precision::F16]
        .into_iter()
        .flat_map(|precision| permutations(precision).map(move |permutation| check(permutation, precision)))
        .partition(Result::is_ok);
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(bad.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n"))
    }
}

fn check(permutation: Permutation, precision: Precision) -> Result<Reflection, String> {
    let wrong = |what: String| format!("{permutation} in {precision}: {what}");
    let shader = Shader::named(permutation.shader).ok_or_else(|| wrong("not in the table".to_owned()))?;
    let wgsl = shader.wgsl(permutation.defines, precision).map_err(|error| wrong(error.to_string()))?;
    let module = naga::front::wgsl::parse_str(&wgsl)
        .map_err(|error| wrong(error.emit_to_string_with_path(&wgsl, shader.name)))?;
    let capabilities = match precision {
        Precision::F32 => Capabilities::empty(),
        Precision::F16 => Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX,
    };
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| wrong(error.emit_to_string_with_path(&wgsl, shader.name)))?;
    check_bindings(shader, permutation, &module).map_err(wrong)?;

    let [entry] = &module.entry_points[..] else {
        return Err(wrong(format!("{} entry points instead of one", module.entry_points.len())));
    };
    if entry.name != "main" {
        return Err(wrong(format!("the entry point is called {}", entry.name)));
    }
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| wrong(error.to_string()))?;
    let workgroup_bytes = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
        .map(|(_, variable)| layouter[variable.ty].size)
        .sum();
    Ok(Reflection {
        name: permutation.to_string(),
        precision,
        wgsl,
        threads: entry.workgroup_size.iter().product(),
        workgroup_bytes,
    })
}

fn check_bindings(shader: &Shader, permutation: Permutation, module: &naga::Module) -> Result<(), String> {
    let read_only = AddressSpace::Storage { access: StorageAccess::LOAD };
    let read_write = AddressSpace::Storage { access: StorageAccess::LOAD | StorageAccess::STORE };
    let mut expected = vec![("params", AddressSpace::Uniform), (shader.output, read_write)];
    expected.extend(shader.constants(permutation.defines).into_iter().map(|name| (name, read_only)));

    let mut found = 0;
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.as_deref().unwrap_or_default();
        let Some(binding) = &variable.binding else { continue };
        found += 1;
        match expected.get(binding.binding as usize) {
            Some(&(expected_name, space)) if binding.group == 0 => {
                if name != expected_name || variable.space != space {
                    return Err(format!(
                        "binding {} is {name} in {:?}, Rust binds {expected_name} in {space:?}",
                        binding.binding, variable.space
                    ));
                }
            }
            _ => return Err(format!("Rust binds nothing to {name}")),
        }
        if variable.space == AddressSpace::Uniform {
            check_uniform(shader, &module.types[variable.ty])?;
        }
    }
    if found == expected.len() {
        Ok(())
    } else {
        Err(format!("{found} bindings, Rust binds {}", expected.len()))
    }
}

fn check_uniform(shader: &Shader, kind: &naga::Type) -> Result<(), String> {
    let info = shader.uniform;
    let TypeInner::Struct { members, span } = &kind.inner else {
        return Err("the uniform is no struct".to_owned());
    };
    let fields = members
        .iter()
        .map(|member| (member.name.as_deref().unwrap_or_default(), member.offset as usize))
        .collect::<Vec<_>>();
    if kind.name.as_deref() != Some(info.name) {
        return Err(format!("the uniform is called {:?}, in Rust {}", kind.name, info.name));
    }
    if let Some((wgsl, rust)) = fields.iter().zip(info.fields).find(|(wgsl, rust)| wgsl != rust) {
        return Err(format!("field and offset {wgsl:?} of {}, in Rust {rust:?}", info.name));
    }
    if fields.len() != info.fields.len() || *span as usize != info.bytes {
        return Err(format!(
            "{} has {} fields and {span} bytes, in Rust {} and {}",
            info.name,
            fields.len(),
            info.fields.len(),
            info.bytes
        ));
    }
    Ok(())
}
