"""Small SavedModels in the form of TensorFlow Serving's own examples, made where a test wants them."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1


def half_plus_two(folder: Path, offset: float = 2.0) -> Path:
    """y = x / 2 + offset, and its signatures to classify and regress tf.Examples by their feature "x".

    It is the model of TensorFlow Serving's tutorial, with the signatures of its saved_model_half_plus_two.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], "tf_example")
        feature = {"x": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
        x = tf.identity(v1.io.parse_example(examples, feature)["x"], "x")
        half, add = v1.get_variable("a", initializer=0.5), v1.get_variable("b", initializer=float(offset))
        y = tf.add(x * half, add, "y")
        label = tf.as_string(y, name="label")
        session.run(v1.global_variables_initializer())
        signatures = v1.saved_model
        builder = signatures.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signatures.predict_signature_def({"x": x}, {"y": y}),
                "regress_x_to_y": signatures.regression_signature_def(examples, y),
                "classify_x_to_y": signatures.classification_signature_def(examples, label, y),
                "scores_only": signatures.classification_signature_def(examples, None, y),
            },
        )
        builder.save()
    return folder
