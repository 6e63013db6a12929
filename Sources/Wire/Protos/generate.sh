#!/bin/sh
# Generates Sources/Wire/control.pb.swift from control.proto. Needs protoc (Debian: protobuf-compiler); the plugin is
# built from the swift-protobuf package that this one depends on.
set -eu
cd "$(dirname "$0")/../../.."
swift build -c release --product protoc-gen-swift
plugin="$(swift build -c release --show-bin-path)/protoc-gen-swift"
protoc --plugin="protoc-gen-swift=$plugin" --proto_path=Sources/Wire/Protos --swift_opt=Visibility=Internal \
    --swift_out=Sources/Wire control.proto
