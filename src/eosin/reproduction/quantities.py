"""Quantities of a paper's cells: what is measured in a run, by a short name.

==============================  ====================================================================
name                            what it is
==============================  ====================================================================
``accuracy``                    a metric of the catalogue, of the most probable class
``val/accuracy``                the same on the validation images
``class:benign/precision``      of one class against the rest
``magnification:200/accuracy``  of one magnification
``patient/recognition_rate``    patient-level recognition rate (P4's P_arp)
``confusion:benign:malignant``  images of the first class that are predicted as the second
``history:val_accuracy@best``   a column of ``history.csv``: at the ``best`` evaluation, at the
                                ``last``, its ``max`` or ``min``, or at the end of an epoch (``@15``)
``epochs``, ``best_epoch``      epochs trained; epoch of the best evaluation
``seconds``                     time of the training; ``seconds_to_best`` up to the best evaluation
``latency``                     seconds of one prediction on one thread
``file_bytes``                  size of the exported weights
``params``                      learnable weights; also ``trainable``, ``frozen``, ``macs``
``layer:conv1``                 learnable weights of one layer of the network's layer table
``images``                      images of the data set; ``images:benign``, ``images:benign:200``
``train_images``                images of the training part; also ``val_images``, ``test_images``
``batches``                     batches of an epoch
==============================  ====================================================================

A prefix ``val/``, ``magnification:…/`` or ``class:…/`` also goes before ``confusion:``.
"""
