//! Loops compiled several times: for any CPU of the architecture, and for the wide vectors that most have.

/// Defines a function whose body is compiled three times on `x86_64`, once with AVX2 and FMA and once with AVX-512 too, and
/// which picks one when it runs. Every sum is added up in the same order, so the numbers of these two are the same. In
/// the body `FUSED` says whether the CPU multiplies and adds in one step. What the body calls must be
/// `#[inline(always)]`, so that it is compiled as often.
macro_rules! vectorized {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "AVX2 is used after asking for it"))]
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
            fn widest($($argument: $type),*) {
                const FUSED: bool = true;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn wide($($argument: $type),*) {
                const FUSED: bool = true;
                $body
            }
            fn narrow($($argument: $type),*) {
                const FUSED: bool = cfg!(target_arch = "aarch64");
                $body
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the CPU has all four features.
                    return unsafe { widest($($argument),*) };
                }
                // SAFETY: the CPU has both features.
                return unsafe { wide($($argument),*) };
            }
            narrow($($argument),*)
        }
    };
}

pub(super) use vectorized;

/// `a * b + c`, in one step where the CPU has it.
#[expect(clippy::inline_always, reason = "it must be compiled for the vectors of its caller")]
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
