// swift-tools-version: 6.2

import PackageDescription

/// Settings of every Swift target: one strict dialect for the whole package.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

/// A kernel target compiles folders of `Sources/KernelsSIMD` (through symlinks) for one instruction set: `Shared`, and
/// `Float` or `BFloat16`.
///
/// `-Ounchecked` removes the overflow and precondition traps that would keep the inner loops from vectorising; the doors
/// of the kernels check their arguments once, in the caller.
func kernelSettings(_ instructionSet: String, march: String, features: [String] = []) -> [SwiftSetting] {
    strict + [
        .define(instructionSet),
        .unsafeFlags(features.flatMap { ["-Xcc", $0] }),
        .unsafeFlags([
            "-Xcc", "-march=\(march)", "-Ounchecked",
            // Tiles are inlined across files, in debug builds too: without it they would be calls of generics.
            "-whole-module-optimization", "-disable-batch-mode", "-num-threads", "2",
            // A specialised signature is a weak symbol; see the check of the kernels' symbols in .ci.
            "-Xllvm", "-sil-disable-pass=function-signature-opts",
        ]),
    ]
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")

let systemLibraries: [Target] = [
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
]

let shims: [Target] = [
    // DCMTK behind a C header.
    .target(
        name: "CDICOM",
        linkerSettings: [
            .linkedLibrary("dcmjpeg"), .linkedLibrary("dcmjpls"), .linkedLibrary("dcmimage"),
            .linkedLibrary("dcmimgle"), .linkedLibrary("dcmdata"), .linkedLibrary("ofstd"), .linkedLibrary("oflog"),
        ]
    ),
    // libpng and libjpeg behind functions that return error codes: both report errors with longjmp.
    .target(name: "CRaster", linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
    // Linux calls that Swift cannot import: CPUID, memfd, futex, prctl, atomics on shared memory.
    .target(name: "CSystem"),
    // XXH3 compiled for AVX2 and AVX-512 too, from libxxhash's header.
    .target(name: "CHash", exclude: ["variant.inc"]),
    // Inline functions for the kernels, header only.
    .target(name: "CIntrinsics"),
]

let pure: [Target] = [
    .target(name: "Diagnostics", dependencies: ["CSystem"], swiftSettings: strict),
    .target(name: "Numerics", swiftSettings: strict),
    .target(name: "Reduction", swiftSettings: strict),
    .target(name: "Kernels", dependencies: ["Numerics"], swiftSettings: strict),
    .target(
        name: "KernelsAVX2",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX2", march: "x86-64-v3")
    ),
    .target(
        name: "KernelsAVX512",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX512", march: "x86-64-v4")
    ),
    // The shared sources once more, for feature maps of bfloat16.
    .target(
        name: "KernelsBF16AVX2",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX2", march: "x86-64-v3")
    ),
    .target(
        name: "KernelsBF16AVX512",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX512", march: "x86-64-v4", features: ["-mavx512bf16"])
    ),
    .target(
        name: "KernelsReferenceBF16",
        dependencies: ["Kernels", "Numerics"],
        swiftSettings: strict + [.define("BF16")]
    ),
    .target(
        name: "KernelSelection",
        dependencies: [
            "Diagnostics", "Kernels", "KernelsReferenceBF16", "KernelsAVX2", "KernelsAVX512",
            "KernelsBF16AVX2", "KernelsBF16AVX512", "CSystem",
        ],
        swiftSettings: strict
    ),
    .target(name: "Graph", dependencies: ["Diagnostics", "Numerics", "Kernels", "Reduction"], swiftSettings: strict),
    .target(name: "Networks", dependencies: ["Diagnostics", "Numerics", "Graph"], swiftSettings: strict),
    .target(name: "Optimization", dependencies: ["Diagnostics", "Numerics", "Kernels"], swiftSettings: strict),
    .target(name: "Sampling", dependencies: ["Diagnostics", "Numerics"], swiftSettings: strict),
    .target(name: "Coordination", dependencies: ["Reduction", "Numerics", "Sampling"], swiftSettings: strict),
]

let libraries: [Target] = [
    .target(name: "ProcessControl", dependencies: ["Diagnostics", "CSystem"], swiftSettings: strict),
    .target(
        name: "Radiography",
        dependencies: ["Diagnostics", "Numerics", "ProcessControl", "Storage", "CDICOM", "CRaster", "CZlib"],
        swiftSettings: strict
    ),
    .target(name: "HDF5IO", dependencies: ["Diagnostics", "CHDF5"], swiftSettings: strict),
    .target(
        name: "Storage",
        dependencies: ["Diagnostics", "HDF5IO", "CCrypto", "CSystem", "CXXHash", "CZlib"],
        swiftSettings: strict
    ),
    .target(
        name: "Wire",
        dependencies: ["Diagnostics", "Coordination", "Reduction", "CHash", protobuf],
        exclude: ["Protos"],
        swiftSettings: strict
    ),
    .target(
        name: "Messaging",
        dependencies: ["Diagnostics", "ProcessControl", "CZeroMQ", "CSystem"],
        swiftSettings: strict
    ),
    .target(
        name: "Collectives",
        dependencies: [
            "Diagnostics", "Reduction", "Kernels", "Messaging", "CSystem", "CHash", "CCrypto", "CZeroMQ",
        ],
        swiftSettings: strict
    ),
    .target(name: "Configuration", dependencies: ["Diagnostics", yams], swiftSettings: strict),
    .target(
        name: "Reporting",
        dependencies: ["Diagnostics", "Radiography", "Storage", protobuf],
        exclude: ["TensorBoard/Protos"],
        swiftSettings: strict
    ),
    .target(
        name: "Training",
        dependencies: [
            "Diagnostics", "Numerics", "Reduction", "Kernels", "KernelSelection", "Graph", "Networks", "Optimization",
            "Sampling", "Radiography", "HDF5IO", "Storage", "Wire", "Messaging", "Collectives", "Coordination",
            "Configuration", "ProcessControl", "Reporting", "CSystem", "CHash",
        ],
        // Its tests look at what is internal to it, in release builds too.
        swiftSettings: strict + [.unsafeFlags(["-enable-testing"])]
    ),
]

let program: [Target] = [
    .executableTarget(
        name: "pleura",
        dependencies: [
            "Diagnostics", "Kernels", "KernelSelection", "Graph", "Networks", "Radiography", "Storage", "Messaging",
            "Collectives", "Configuration", "ProcessControl", "Reporting", "Training", "CSystem", argumentParser,
        ],
        swiftSettings: strict
    )
]

/// Modules that have a test target of their own, `Tests/<Module>Tests`, with what it uses besides the module.
let testDependencies: [(module: String, extra: [Target.Dependency])] = [
    ("Diagnostics", []), ("ProcessControl", ["Diagnostics"]), ("Numerics", []), ("Reduction", ["Numerics"]),
    ("Kernels", ["Numerics", "KernelSelection", "HDF5IO", "Diagnostics"]),
    ("Graph", ["Reduction", "Kernels", "KernelSelection", "Numerics", "HDF5IO"]),
    ("Networks", ["Graph", "Kernels", "KernelSelection", "Numerics", "Optimization", "HDF5IO"]),
    ("Optimization", ["Kernels", "KernelSelection", "Numerics", "HDF5IO"]), ("Sampling", ["Diagnostics", "Numerics"]),
    ("Coordination", ["Reduction", "Numerics", "Sampling"]),
    ("Radiography", ["Diagnostics", "Numerics", "ProcessControl", "Storage"]),
    ("HDF5IO", ["Diagnostics"]), ("Storage", ["Diagnostics", "HDF5IO"]),
    ("Wire", ["Diagnostics", "Coordination", "Numerics", "Reduction"]), ("Messaging", ["Diagnostics", "HostilePeer"]),
    ("Collectives", ["Diagnostics", "Reduction", "Messaging", "CHash", "CXXHash", "Kernels", "KernelSelection"]),
    ("Configuration", ["Diagnostics"]), ("Reporting", ["Diagnostics", "Radiography", "Storage"]),
    (
        "Training",
        [
            "Diagnostics", "Collectives", "Configuration", "Coordination", "Graph", "KernelSelection", "Messaging",
            "Networks", "Optimization", "ProcessControl", "Radiography", "Reduction", "Reporting", "Sampling",
            "Storage",
        ]
    ),
    ("Integration", ["CSystem", "Diagnostics", "Storage", "HDF5IO", "HostilePeer", "CHash"]),
]

let tests: [Target] = testDependencies.map { entry in
    let own: [Target.Dependency] = entry.module == "Integration" ? [] : [.init(stringLiteral: entry.module)]
    return .testTarget(
        name: "\(entry.module)Tests",
        dependencies: own + entry.extra,
        swiftSettings: strict
    )
}

/// What tests start as processes of their own, and load into them.
let testTools: [Target] = [
    // System calls that fail when they are told to; see its header.
    .target(name: "FaultInjection", path: "Tests/FaultInjection"),
    // What an intruder sends; see its header.
    .target(name: "HostilePeer", path: "Tests/HostilePeer", swiftSettings: strict),
    .executableTarget(
        name: "CheckpointVictim",
        dependencies: ["Diagnostics", "Storage"],
        path: "Tests/CheckpointVictim",
        swiftSettings: strict
    ),
]

let package = Package(
    name: "pleura",
    products: [
        .executable(name: "pleura", targets: ["pleura"]),
        .library(name: "FaultInjection", type: .dynamic, targets: ["FaultInjection"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    ],
    targets: systemLibraries + shims + pure + libraries + program + testTools + tests,
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
